package main

import (
	"context"

	"github.com/containerd/containerd/namespaces"
	digest "github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

const nobody = "nobody"

// collect runs a collection that cleans every backend, as Orlop does after a rollback and at
// its first collection, and then removes the child links that containerd leaves behind.
// docs/differences.md lists both.
func collect(m *machine, ctx context.Context, _ operation) (interface{}, error) {
	if err := m.soil(ctx); err != nil {
		return nil, err
	}
	if _, err := m.database.GarbageCollect(ctx); err != nil {
		return nil, err
	}
	return nil, m.file.Update(tidy)
}

// soil marks all backends as in need of cleaning: it deletes what a rolled back transaction had.
func (m *machine) soil(ctx context.Context) error {
	tx, err := m.file.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	ctx = namespaces.WithNamespace(within(ctx, tx), nobody)
	dgst := digest.FromString(nobody)
	paths := [][]string{{"content", "blob", dgst.String()}}
	for _, name := range snapshotters {
		paths = append(paths, []string{"snapshots", name, nobody})
	}
	for _, path := range paths {
		if err := makeBuckets(tx, append([]string{"v1", nobody}, path...)); err != nil {
			return err
		}
	}
	for _, name := range snapshotters {
		if err := m.database.Snapshotter(name).Remove(ctx, nobody); err != nil {
			return err
		}
	}
	return m.database.ContentStore().Delete(ctx, dgst)
}

func makeBuckets(tx *bolt.Tx, path []string) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(path[0]))
	for _, name := range path[1:] {
		if err != nil {
			return err
		}
		bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
	}
	return err
}

func tidy(tx *bolt.Tx) error {
	return nested(tx.Bucket([]byte("v1")), func(namespace *bolt.Bucket) error {
		return nested(namespace.Bucket([]byte("snapshots")), func(snapshots *bolt.Bucket) error {
			return nested(snapshots, func(snapshot *bolt.Bucket) error {
				return dropStale(snapshots, snapshot.Bucket([]byte("children")))
			})
		})
	})
}

func nested(bucket *bolt.Bucket, visit func(*bolt.Bucket) error) error {
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(func(name, value []byte) error {
		if value != nil {
			return nil
		}
		return visit(bucket.Bucket(name))
	})
}

func dropStale(snapshots, children *bolt.Bucket) error {
	if children == nil {
		return nil
	}
	var stale [][]byte
	err := children.ForEach(func(key, _ []byte) error {
		if snapshots.Bucket(key) == nil {
			stale = append(stale, append([]byte{}, key...))
		}
		return nil
	})
	for _, key := range stale {
		if err == nil {
			err = children.Delete(key)
		}
	}
	return err
}
