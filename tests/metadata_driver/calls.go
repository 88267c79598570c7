package main

import (
	"context"
	"sort"

	"github.com/containerd/containerd/leases"
	"github.com/containerd/containerd/metadata"
	bolt "go.etcd.io/bbolt"
)

type call func(*machine, context.Context, operation) (interface{}, error)

var calls = map[string]call{
	"namespace.create": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, m.transacted(ctx, func(tx *bolt.Tx) error {
			return metadata.NewNamespaceStore(tx).Create(ctx, given.Name, given.Labels)
		})
	},
	"namespace.list": func(m *machine, ctx context.Context, _ operation) (found interface{}, err error) {
		err = m.transacted(ctx, func(tx *bolt.Tx) error {
			names, err := metadata.NewNamespaceStore(tx).List(ctx)
			found = append([]string{}, names...)
			return err
		})
		return found, err
	},
	"namespace.labels": func(m *machine, ctx context.Context, given operation) (found interface{}, err error) {
		err = m.transacted(ctx, func(tx *bolt.Tx) error {
			found, err = metadata.NewNamespaceStore(tx).Labels(ctx, given.Name)
			return err
		})
		return found, err
	},
	"namespace.label": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, m.transacted(ctx, func(tx *bolt.Tx) error {
			return metadata.NewNamespaceStore(tx).SetLabel(ctx, given.Name, given.Key, given.Value)
		})
	},
	"namespace.delete": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, m.transacted(ctx, func(tx *bolt.Tx) error {
			return metadata.NewNamespaceStore(tx).Delete(ctx, given.Name)
		})
	},

	"image.get": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		found, err := metadata.NewImageStore(m.database).Get(ctx, given.Name)
		return imageResult(found), err
	},
	"image.list": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		found, err := metadata.NewImageStore(m.database).List(ctx, given.Filters...)
		results := []image{}
		for _, one := range found {
			results = append(results, imageResult(one))
		}
		return results, err
	},
	"image.create": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		made, err := metadata.NewImageStore(m.database).Create(ctx, given.Image.given())
		return imageResult(made), err
	},
	"image.update": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		changed, err := metadata.NewImageStore(m.database).Update(ctx, given.Image.given(), given.Paths...)
		return imageResult(changed), err
	},
	"image.delete": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, metadata.NewImageStore(m.database).Delete(ctx, given.Name)
	},

	"container.get": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		found, err := metadata.NewContainerStore(m.database).Get(ctx, given.Name)
		return containerResult(found), err
	},
	"container.list": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		found, err := metadata.NewContainerStore(m.database).List(ctx, given.Filters...)
		results := []container{}
		for _, one := range found {
			results = append(results, containerResult(one))
		}
		return results, err
	},
	"container.create": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		made, err := metadata.NewContainerStore(m.database).Create(ctx, given.Container.given())
		return containerResult(made), err
	},
	"container.update": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		changed, err := metadata.NewContainerStore(m.database).Update(ctx, given.Container.given(), given.Paths...)
		return containerResult(changed), err
	},
	"container.delete": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, metadata.NewContainerStore(m.database).Delete(ctx, given.Name)
	},

	"lease.create": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		made, err := metadata.NewLeaseManager(m.database).Create(ctx, leases.WithID(given.Name), leases.WithLabels(given.Labels))
		return leaseResult(made), err
	},
	"lease.delete": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, metadata.NewLeaseManager(m.database).Delete(ctx, leases.Lease{ID: given.Name})
	},
	"lease.list": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		found, err := metadata.NewLeaseManager(m.database).List(ctx, given.Filters...)
		results := []lease{}
		for _, one := range found {
			results = append(results, leaseResult(one))
		}
		return results, err
	},
	"lease.add": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, metadata.NewLeaseManager(m.database).AddResource(ctx, leases.Lease{ID: given.Name}, leases.Resource(given.Resource))
	},
	"lease.remove": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		return nil, metadata.NewLeaseManager(m.database).DeleteResource(ctx, leases.Lease{ID: given.Name}, leases.Resource(given.Resource))
	},
	"lease.resources": func(m *machine, ctx context.Context, given operation) (interface{}, error) {
		found, err := metadata.NewLeaseManager(m.database).ListResources(ctx, leases.Lease{ID: given.Name})
		results := []resource{}
		for _, one := range found {
			results = append(results, resource(one))
		}
		return results, err
	},

	"content.info":     info,
	"content.walk":     walkContent,
	"content.update":   updateContent,
	"content.delete":   deleteContent,
	"content.read":     readContent,
	"content.status":   statusOfIngest,
	"content.statuses": statuses,
	"content.abort":    abort,
	"writer.open":      openWriter,
	"writer.write":     write,
	"writer.truncate":  truncate,
	"writer.status":    statusOfWriter,
	"writer.commit":    commitWriter,
	"writer.close":     closeWriter,

	"snapshot.stat":    stat,
	"snapshot.update":  updateSnapshot,
	"snapshot.usage":   usage,
	"snapshot.mounts":  mounts,
	"snapshot.prepare": prepare,
	"snapshot.view":    viewSnapshot,
	"snapshot.commit":  commitSnapshot,
	"snapshot.remove":  removeSnapshot,
	"snapshot.walk":    walkSnapshots,

	"gc":     collect,
	"filter": filter,
}

func sorted(statuses []status) []status {
	sort.Slice(statuses, func(i, j int) bool { return statuses[i].Ref < statuses[j].Ref })
	return statuses
}
