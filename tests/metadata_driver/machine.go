package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/content"
	"github.com/containerd/containerd/content/local"
	"github.com/containerd/containerd/errdefs"
	"github.com/containerd/containerd/leases"
	"github.com/containerd/containerd/metadata"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/native"
	bolt "go.etcd.io/bbolt"
)

// snapshotters are all native: what is compared lies above them.
var snapshotters = []string{"native", "second"}

type machine struct {
	root     string
	file     *bolt.DB
	database *metadata.DB
	backends map[string]snapshots.Snapshotter
	writers  map[string]content.Writer
}

func open(root string) (*machine, error) {
	directory := filepath.Join(root, "io.containerd.metadata.v1.bolt")
	if err := os.MkdirAll(directory, 0o711); err != nil {
		return nil, err
	}
	file, err := bolt.Open(filepath.Join(directory, "meta.db"), 0o644, &bolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	store, err := local.NewStore(filepath.Join(root, "io.containerd.content.v1.content"))
	if err != nil {
		return nil, err
	}
	backends := map[string]snapshots.Snapshotter{}
	for _, name := range snapshotters {
		backend, err := native.NewSnapshotter(filepath.Join(root, "io.containerd.snapshotter.v1."+name))
		if err != nil {
			return nil, err
		}
		backends[name] = backend
	}
	database := metadata.NewDB(file, store, backends)
	if err := database.Init(context.Background()); err != nil {
		return nil, err
	}
	return &machine{
		root:     root,
		file:     file,
		database: database,
		backends: backends,
		writers:  map[string]content.Writer{},
	}, nil
}

func (m *machine) close() error {
	for _, writer := range m.writers {
		writer.Close()
	}
	for _, backend := range m.backends {
		backend.Close()
	}
	return m.file.Close()
}

func (m *machine) answer(given operation) answer {
	var result interface{}
	var err error
	if given.Op == "transaction" {
		result, err = m.transaction(given)
	} else {
		result, err = m.call(context.Background(), given)
	}
	return answered(result, err)
}

func answered(result interface{}, err error) answer {
	if err != nil {
		return answer{Kind: kind(err), Message: err.Error()}
	}
	if result == nil {
		result = "done"
	}
	return answer{Result: result}
}

type transactionKey struct{}

func within(ctx context.Context, tx *bolt.Tx) context.Context {
	ctx = context.WithValue(ctx, transactionKey{}, tx)
	return metadata.WithTransactionContext(ctx, tx)
}

var errRolledBack = errors.New("rolled back")

// transaction runs the steps in one transaction; the first error rolls it back and ends it.
func (m *machine) transaction(given operation) (interface{}, error) {
	answers := []answer{}
	err := m.database.Update(func(tx *bolt.Tx) error {
		ctx := within(context.Background(), tx)
		for _, step := range given.Steps {
			result, err := m.call(ctx, step)
			answers = append(answers, answered(result, err))
			if err != nil {
				return errRolledBack
			}
		}
		if given.Rollback {
			return errRolledBack
		}
		return nil
	})
	if err != nil && err != errRolledBack {
		return nil, err
	}
	return answers, nil
}

func (m *machine) call(ctx context.Context, given operation) (interface{}, error) {
	run, ok := calls[given.Op]
	if !ok {
		return nil, fmt.Errorf("no operation %q", given.Op)
	}
	ctx = namespaces.WithNamespace(ctx, given.Namespace)
	if given.Lease != nil {
		ctx = leases.WithLease(ctx, *given.Lease)
	}
	return run(m, ctx, given)
}

// transacted runs what needs a transaction in the one of the context, or in one of its own.
func (m *machine) transacted(ctx context.Context, run func(tx *bolt.Tx) error) error {
	if tx, ok := ctx.Value(transactionKey{}).(*bolt.Tx); ok {
		return run(tx)
	}
	return m.database.Update(run)
}

func kind(err error) string {
	for _, one := range []struct {
		name string
		is   func(error) bool
	}{
		{"invalid argument", errdefs.IsInvalidArgument},
		{"not found", errdefs.IsNotFound},
		{"already exists", errdefs.IsAlreadyExists},
		{"failed precondition", errdefs.IsFailedPrecondition},
		{"unavailable", errdefs.IsUnavailable},
		{"not implemented", errdefs.IsNotImplemented},
		{"unknown", func(err error) bool { return errors.Is(err, errdefs.ErrUnknown) }},
	} {
		if one.is(err) {
			return one.name
		}
	}
	return "none"
}
