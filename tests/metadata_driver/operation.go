package main

import (
	"time"

	"github.com/containerd/containerd/containers"
	"github.com/containerd/containerd/images"
	"github.com/containerd/containerd/leases"
	"github.com/gogo/protobuf/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// operation is one call of a store, or several of them in one transaction.
type operation struct {
	Op          string            `json:"op"`
	Namespace   string            `json:"ns"`
	Lease       *string           `json:"lease"`
	Name        string            `json:"name"`
	Key         string            `json:"key"`
	Value       string            `json:"value"`
	Parent      string            `json:"parent"`
	Snapshotter string            `json:"snapshotter"`
	Labels      map[string]string `json:"labels"`
	Paths       []string          `json:"paths"`
	Filters     []string          `json:"filters"`
	Image       image             `json:"image"`
	Container   container         `json:"container"`
	Resource    resource          `json:"resource"`
	Writer      string            `json:"writer"`
	Ref         string            `json:"ref"`
	Digest      digest.Digest     `json:"digest"`
	Size        int64             `json:"size"`
	Data        []byte            `json:"data"`
	Steps       []operation       `json:"steps"`
	Rollback    bool              `json:"rollback"`
	Records     []record          `json:"records"`
}

type image struct {
	Name        string            `json:"name"`
	MediaType   string            `json:"media_type"`
	Digest      digest.Digest     `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Labels      map[string]string `json:"labels"`
	Times       string            `json:"times"`
}

func (i image) given() images.Image {
	return images.Image{
		Name:   i.Name,
		Labels: i.Labels,
		Target: ocispec.Descriptor{
			MediaType:   i.MediaType,
			Digest:      i.Digest,
			Size:        i.Size,
			Annotations: i.Annotations,
		},
	}
}

func imageResult(i images.Image) image {
	return image{
		Name:        i.Name,
		MediaType:   i.Target.MediaType,
		Digest:      i.Target.Digest,
		Size:        i.Target.Size,
		Annotations: present(i.Target.Annotations),
		Labels:      present(i.Labels),
		Times:       times(i.CreatedAt, i.UpdatedAt),
	}
}

type envelope struct {
	TypeURL string `json:"type_url"`
	Value   []byte `json:"value"`
}

func (e *envelope) given() *types.Any {
	if e == nil {
		return nil
	}
	return &types.Any{TypeUrl: e.TypeURL, Value: e.Value}
}

func envelopeResult(value *types.Any) *envelope {
	if value == nil {
		return nil
	}
	return &envelope{TypeURL: value.TypeUrl, Value: append([]byte{}, value.Value...)}
}

type container struct {
	ID          string               `json:"id"`
	Labels      map[string]string    `json:"labels"`
	Image       string               `json:"image"`
	Runtime     string               `json:"runtime"`
	Options     *envelope            `json:"options"`
	Spec        *envelope            `json:"spec"`
	SnapshotKey string               `json:"snapshot_key"`
	Snapshotter string               `json:"snapshotter"`
	Extensions  map[string]*envelope `json:"extensions"`
	Times       string               `json:"times"`
}

func (c container) given() containers.Container {
	var extensions map[string]types.Any
	if c.Extensions != nil {
		extensions = map[string]types.Any{}
	}
	for name, value := range c.Extensions {
		extensions[name] = *value.given()
	}
	return containers.Container{
		ID:          c.ID,
		Labels:      c.Labels,
		Image:       c.Image,
		Runtime:     containers.RuntimeInfo{Name: c.Runtime, Options: c.Options.given()},
		Spec:        c.Spec.given(),
		SnapshotKey: c.SnapshotKey,
		Snapshotter: c.Snapshotter,
		Extensions:  extensions,
	}
}

func containerResult(c containers.Container) container {
	extensions := map[string]*envelope{}
	for name, value := range c.Extensions {
		value := value
		extensions[name] = envelopeResult(&value)
	}
	return container{
		ID:          c.ID,
		Labels:      present(c.Labels),
		Image:       c.Image,
		Runtime:     c.Runtime.Name,
		Options:     envelopeResult(c.Runtime.Options),
		Spec:        envelopeResult(c.Spec),
		SnapshotKey: c.SnapshotKey,
		Snapshotter: c.Snapshotter,
		Extensions:  extensions,
		Times:       times(c.CreatedAt, c.UpdatedAt),
	}
}

type resource struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type lease struct {
	ID     string            `json:"id"`
	Labels map[string]string `json:"labels"`
	Times  string            `json:"times"`
}

func leaseResult(l leases.Lease) lease {
	return lease{ID: l.ID, Labels: present(l.Labels), Times: times(l.CreatedAt, l.CreatedAt)}
}

// times says all of two moments that two implementations can have in common.
func times(created, updated time.Time) string {
	switch {
	case created.IsZero() || updated.IsZero():
		return "none"
	case updated.Equal(created):
		return "equal"
	case updated.After(created):
		return "later"
	}
	return "earlier"
}

func present(entries map[string]string) map[string]string {
	if entries == nil {
		return map[string]string{}
	}
	return entries
}
