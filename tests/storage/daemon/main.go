// Command daemon works on directories with containerd's own backends: it lists what they find
// there, and goes on with it.
//
//	daemon content ROOT REF REST     list, then append REST to the ingest REF and commit it
//	daemon native ROOT KEY PARENT    list, then prepare KEY on PARENT and print its mounts
//	daemon overlayfs ROOT KEY PARENT the same with the overlay snapshotter
package main

import (
	"context"
	_ "crypto/sha256" // content is hashed with what is linked in
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/containerd/content"
	"github.com/containerd/containerd/content/local"
	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/native"
	"github.com/containerd/containerd/snapshots/overlay"
)

type answer struct {
	Blobs     map[string]int64           `json:"blobs,omitempty"`
	Ingests   map[string]int64           `json:"ingests,omitempty"`
	Snapshots map[string]snapshots.Info  `json:"snapshots,omitempty"`
	Usages    map[string]snapshots.Usage `json:"usages,omitempty"`
	Mounts    map[string][]mount.Mount   `json:"mounts,omitempty"`
}

func main() {
	if len(os.Args) != 5 {
		fail(fmt.Errorf("expected 4 arguments, not %d", len(os.Args)-1))
	}
	found, err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func run(kind, root, first, second string) (*answer, error) {
	switch kind {
	case "content":
		return onContent(root, first, second)
	case "native":
		s, err := native.NewSnapshotter(root)
		if err != nil {
			return nil, err
		}
		return onSnapshots(s, first, second)
	case "overlayfs":
		s, err := overlay.NewSnapshotter(root)
		if err != nil {
			return nil, err
		}
		return onSnapshots(s, first, second)
	}
	return nil, fmt.Errorf("unknown backend %q", kind)
}

func onContent(root, ref, rest string) (*answer, error) {
	ctx := context.Background()
	store, err := local.NewStore(root)
	if err != nil {
		return nil, err
	}
	found := &answer{Blobs: map[string]int64{}, Ingests: map[string]int64{}}
	err = store.Walk(ctx, func(info content.Info) error {
		found.Blobs[info.Digest.String()] = info.Size
		return nil
	})
	if err != nil {
		return nil, err
	}
	statuses, err := store.ListStatuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, status := range statuses {
		found.Ingests[status.Ref] = status.Offset
	}
	writer, err := store.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	if _, err := writer.Write([]byte(rest)); err != nil {
		return nil, err
	}
	return found, writer.Commit(ctx, 0, "")
}

func onSnapshots(s snapshots.Snapshotter, key, parent string) (*answer, error) {
	ctx := context.Background()
	defer s.Close()
	found := &answer{
		Snapshots: map[string]snapshots.Info{},
		Usages:    map[string]snapshots.Usage{},
		Mounts:    map[string][]mount.Mount{},
	}
	err := s.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		found.Snapshots[info.Name] = info
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, info := range found.Snapshots {
		usage, err := s.Usage(ctx, name)
		if err != nil {
			return nil, err
		}
		found.Usages[name] = usage
		if info.Kind == snapshots.KindCommitted {
			continue
		}
		mounts, err := s.Mounts(ctx, name)
		if err != nil {
			return nil, err
		}
		found.Mounts[name] = mounts
	}
	mounts, err := s.Prepare(ctx, key, parent, snapshots.WithLabels(map[string]string{"made": "by the daemon"}))
	if err != nil {
		return nil, err
	}
	found.Mounts[key] = mounts
	return found, nil
}
