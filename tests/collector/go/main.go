// Command collector puts containerd's own collector to work on a meta.db.
//
//	collector gc FILE     collect, then list what is left
//	collector list FILE   only list
//
// It prints one JSON array: [[type, namespace, key], ...].
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/containerd/content/local"
	"github.com/containerd/containerd/metadata"
	bolt "go.etcd.io/bbolt"
)

type record [3]string

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: collector gc|list FILE"))
	}
	left, err := run(os.Args[1], os.Args[2])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(left); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func run(mode, file string) ([]record, error) {
	db, err := bolt.Open(file, 0o644, &bolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if mode == "gc" {
		if err := collect(db); err != nil {
			return nil, err
		}
	}
	left := []record{}
	err = db.View(func(tx *bolt.Tx) error {
		schema := tx.Bucket([]byte("v1"))
		if schema == nil {
			return nil
		}
		for _, namespace := range nested(schema) {
			left = append(left, list(schema.Bucket(namespace), string(namespace))...)
		}
		return nil
	})
	return left, err
}

func collect(db *bolt.DB) error {
	folder, err := os.MkdirTemp("", "content-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	store, err := local.NewStore(folder)
	if err != nil {
		return err
	}
	_, err = metadata.NewDB(db, store, nil).GarbageCollect(context.Background())
	return err
}

func list(namespace *bolt.Bucket, name string) []record {
	var found []record
	add := func(kind, prefix string, path ...string) {
		bucket := namespace
		for _, part := range path {
			if bucket = bucket.Bucket([]byte(part)); bucket == nil {
				return
			}
		}
		for _, key := range nested(bucket) {
			found = append(found, record{kind, name, prefix + string(key)})
		}
	}
	add("lease", "", "leases")
	add("image", "", "images")
	add("content", "", "content", "blob")
	add("ingest", "", "content", "ingests")
	if snapshots := namespace.Bucket([]byte("snapshots")); snapshots != nil {
		for _, snapshotter := range nested(snapshots) {
			add("snapshot", string(snapshotter)+"/", "snapshots", string(snapshotter))
		}
	}
	return found
}

func nested(bucket *bolt.Bucket) [][]byte {
	var names [][]byte
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if value == nil {
			names = append(names, append([]byte{}, key...))
		}
	}
	return names
}
