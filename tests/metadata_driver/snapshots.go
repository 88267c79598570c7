package main

import (
	"context"
	"strings"

	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/snapshots"
)

type snapshot struct {
	Kind   string            `json:"kind"`
	Name   string            `json:"name"`
	Parent string            `json:"parent"`
	Labels map[string]string `json:"labels"`
	Times  string            `json:"times"`
}

func snapshotResult(i snapshots.Info) snapshot {
	return snapshot{
		Kind:   strings.ToLower(i.Kind.String()),
		Name:   i.Name,
		Parent: i.Parent,
		Labels: present(i.Labels),
		Times:  times(i.Created, i.Updated),
	}
}

type mountPoint struct {
	Type    string   `json:"type"`
	Source  string   `json:"source"`
	Options []string `json:"options"`
}

func (m *machine) mountResults(found []mount.Mount, err error) (interface{}, error) {
	results := []mountPoint{}
	for _, one := range found {
		source := strings.TrimPrefix(one.Source, m.root)
		results = append(results, mountPoint{Type: one.Type, Source: source, Options: one.Options})
	}
	return results, err
}

func labelled(given operation) []snapshots.Opt {
	if given.Labels == nil {
		return nil
	}
	return []snapshots.Opt{snapshots.WithLabels(given.Labels)}
}

func (m *machine) store(given operation) snapshots.Snapshotter {
	return m.database.Snapshotter(given.Snapshotter)
}

func stat(m *machine, ctx context.Context, given operation) (interface{}, error) {
	found, err := m.store(given).Stat(ctx, given.Key)
	return snapshotResult(found), err
}

func updateSnapshot(m *machine, ctx context.Context, given operation) (interface{}, error) {
	changed, err := m.store(given).Update(
		ctx, snapshots.Info{Name: given.Key, Labels: given.Labels}, given.Paths...)
	return snapshotResult(changed), err
}

func usage(m *machine, ctx context.Context, given operation) (interface{}, error) {
	found, err := m.store(given).Usage(ctx, given.Key)
	return []int64{found.Inodes, found.Size}, err
}

func mounts(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return m.mountResults(m.store(given).Mounts(ctx, given.Key))
}

func prepare(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return m.mountResults(m.store(given).Prepare(ctx, given.Key, given.Parent, labelled(given)...))
}

func viewSnapshot(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return m.mountResults(m.store(given).View(ctx, given.Key, given.Parent, labelled(given)...))
}

func commitSnapshot(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return nil, m.store(given).Commit(ctx, given.Name, given.Key, labelled(given)...)
}

func removeSnapshot(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return nil, m.store(given).Remove(ctx, given.Key)
}

func walkSnapshots(m *machine, ctx context.Context, given operation) (interface{}, error) {
	results := []snapshot{}
	err := m.store(given).Walk(ctx, func(_ context.Context, found snapshots.Info) error {
		results = append(results, snapshotResult(found))
		return nil
	}, given.Filters...)
	return results, err
}
