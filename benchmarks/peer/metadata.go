package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/containers"
	"github.com/containerd/containerd/content/local"
	"github.com/containerd/containerd/images"
	"github.com/containerd/containerd/leases"
	"github.com/containerd/containerd/metadata"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/native"
	"github.com/gogo/protobuf/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

const (
	metadataFile = "meta.db"
	specBytes    = 2048
	threads      = 16
)

// store is containerd's metadata with backends of its own, in a folder or without.
type store struct {
	*metadata.DB
	file      *bolt.DB
	backends  map[string]snapshots.Snapshotter
	temporary string
}

func (s *store) close() error {
	for _, backend := range s.backends {
		backend.Close()
	}
	if s.temporary != "" {
		os.RemoveAll(s.temporary)
	}
	return s.file.Close()
}

// touch commits something.
func (s *store) touch() error {
	return s.file.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("v1")).Put([]byte("touched"), nil)
	})
}

// openMetadata opens a bare file; its backends are empty, and forgotten at the end.
func openMetadata(path string, options *bolt.Options) (*store, error) {
	temporary, err := os.MkdirTemp(filepath.Dir(path), "content-")
	if err != nil {
		return nil, err
	}
	opened, err := openStore(path, options, temporary, nil)
	if err == nil {
		opened.temporary = temporary
	}
	return opened, err
}

// openRoot opens a database with content and snapshots on disk.
func openRoot(folder string) (*store, error) {
	backend, err := native.NewSnapshotter(filepath.Join(folder, "io.containerd.snapshotter.v1.native"))
	if err != nil {
		return nil, err
	}
	return openStore(
		filepath.Join(folder, metadataFile), nil,
		filepath.Join(folder, "io.containerd.content.v1.content"),
		map[string]snapshots.Snapshotter{snapshotter: backend},
	)
}

func openStore(
	path string, options *bolt.Options, content string, backends map[string]snapshots.Snapshotter,
) (*store, error) {
	file, err := bolt.Open(path, 0o644, options)
	if err != nil {
		return nil, err
	}
	blobs, err := local.NewStore(content)
	if err != nil {
		return nil, err
	}
	database := metadata.NewDB(file, blobs, backends)
	if err := database.Init(background()); err != nil {
		return nil, err
	}
	return &store{DB: database, file: file, backends: backends}, nil
}

func background() context.Context {
	return namespaces.WithNamespace(context.Background(), namespace)
}

func descriptor(number int) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: manifestType, Digest: digest.Digest(blobDigest(number, 0)), Size: 1000,
	}
}

func makeImages(folder string, count int) (results, error) {
	database, err := openMetadata(filepath.Join(folder, metadataFile), &bolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	store := metadata.NewImageStore(database.DB)
	err = database.Update(func(tx *bolt.Tx) error {
		ctx := metadata.WithTransactionContext(background(), tx)
		for number := 0; number < count; number++ {
			if _, err := store.Create(ctx, image(number)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results{}, database.close()
}

func readImages(folder string, count int) (results, error) {
	database, err := openMetadata(filepath.Join(folder, metadataFile), nil)
	if err != nil {
		return nil, err
	}
	defer database.close()
	ctx, store, found := background(), metadata.NewImageStore(database.DB), results{}
	get := func(number int) error {
		_, err := store.Get(ctx, imageName(number*stride%count))
		return err
	}
	list := func(wanted int, filters ...string) func(int) error {
		return func(int) error {
			listed, err := store.List(ctx, filters...)
			if err == nil && len(listed) != wanted {
				err = fmt.Errorf("%d images instead of %d", len(listed), wanted)
			}
			return err
		}
	}
	all, half := list(count), list((count+1)/2, `labels."team"==a`)
	for name, one := range map[string]struct {
		count int
		call  func(int) error
	}{"get": {count, get}, "list": {passes, all}, "filtered": {passes, half}} {
		if err := one.call(0); err != nil {
			return nil, err
		}
		if found[name], err = each(one.count, one.call); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func createFromThreads(folder string, count int) (results, error) {
	database, err := openRoot(folder)
	if err != nil {
		return nil, err
	}
	defer database.close()
	ctx, store := background(), metadata.NewImageStore(database.DB)
	failures := make(chan error, threads)
	var group sync.WaitGroup
	begun := time.Now()
	for thread := 0; thread < threads; thread++ {
		group.Add(1)
		go func(thread int) {
			defer group.Done()
			for number := thread; number < count; number += threads {
				if _, err := store.Create(ctx, image(number)); err != nil {
					failures <- err
					return
				}
			}
		}(thread)
	}
	group.Wait()
	seconds := time.Since(begun).Seconds() / float64(count)
	close(failures)
	return results{"create": seconds}, <-failures
}

// mutate does one thing after the other, each in transactions of its own, synced.
func mutate(folder string, count int) (results, error) {
	database, err := openRoot(folder)
	if err != nil {
		return nil, err
	}
	defer database.close()
	ctx := background()
	named := metadata.NewImageStore(database.DB)
	described := metadata.NewContainerStore(database.DB)
	leased := metadata.NewLeaseManager(database.DB)
	layers := database.Snapshotter(snapshotter)
	found := results{}
	for _, step := range []struct {
		name string
		call func(number int) error
	}{
		{"image create", func(n int) error { return second(named.Create(ctx, image(n))) }},
		{"image update", func(n int) error { return relabel(ctx, named, n) }},
		{"image delete", func(n int) error { return named.Delete(ctx, imageName(n)) }},
		{"container create", func(n int) error { return second(described.Create(ctx, container(n))) }},
		{"container delete", func(n int) error { return described.Delete(ctx, container(n).ID) }},
		{"lease create", func(n int) error {
			return second(leased.Create(ctx, leases.WithID(fmt.Sprint("lease-", n))))
		}},
		{"lease add", func(n int) error {
			resource := leases.Resource{ID: blobDigest(n, 0), Type: "content"}
			return leased.AddResource(ctx, leases.Lease{ID: fmt.Sprint("lease-", n)}, resource)
		}},
		{"lease delete", func(n int) error {
			return leased.Delete(ctx, leases.Lease{ID: fmt.Sprint("lease-", n)})
		}},
		{"snapshot prepare", func(n int) error { return second(layers.Prepare(ctx, active(n), "")) }},
		{"snapshot commit", func(n int) error { return layers.Commit(ctx, snapshotKey(n, 0), active(n)) }},
		{"snapshot remove", func(n int) error { return layers.Remove(ctx, snapshotKey(n, 0)) }},
	} {
		if found[step.name], err = each(count, step.call); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return found, nil
}

func second[T any](_ T, err error) error { return err }

func active(number int) string { return fmt.Sprint("active-", number) }

func relabel(ctx context.Context, store images.Store, number int) error {
	changed := image(number)
	changed.Labels["team"] = "c"
	return second(store.Update(ctx, changed, "labels.team"))
}

func container(number int) containers.Container {
	return containers.Container{
		ID:          fmt.Sprint("container-", number),
		Image:       imageName(number),
		Labels:      map[string]string{"team": team(number)},
		Runtime:     containers.RuntimeInfo{Name: "io.containerd.runc.v2"},
		Spec:        &types.Any{TypeUrl: "types.containerd.io/spec", Value: make([]byte, specBytes)},
		SnapshotKey: snapshotKey(number, 0),
		Snapshotter: snapshotter,
	}
}
