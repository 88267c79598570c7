package main

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/content"
	"github.com/containerd/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type blob struct {
	Digest digest.Digest     `json:"digest"`
	Size   int64             `json:"size"`
	Labels map[string]string `json:"labels"`
	Times  string            `json:"times"`
}

func blobResult(i content.Info) blob {
	return blob{Digest: i.Digest, Size: i.Size, Labels: present(i.Labels), Times: times(i.CreatedAt, i.UpdatedAt)}
}

type status struct {
	Ref      string        `json:"ref"`
	Offset   int64         `json:"offset"`
	Total    int64         `json:"total"`
	Expected digest.Digest `json:"expected"`
}

func statusResult(s content.Status) status {
	return status{Ref: s.Ref, Offset: s.Offset, Total: s.Total, Expected: s.Expected}
}

func info(m *machine, ctx context.Context, given operation) (interface{}, error) {
	found, err := m.database.ContentStore().Info(ctx, given.Digest)
	return blobResult(found), err
}

func walkContent(m *machine, ctx context.Context, given operation) (interface{}, error) {
	results := []blob{}
	err := m.database.ContentStore().Walk(ctx, func(found content.Info) error {
		results = append(results, blobResult(found))
		return nil
	}, given.Filters...)
	return results, err
}

func updateContent(m *machine, ctx context.Context, given operation) (interface{}, error) {
	changed, err := m.database.ContentStore().Update(
		ctx, content.Info{Digest: given.Digest, Labels: given.Labels}, given.Paths...)
	return blobResult(changed), err
}

func deleteContent(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return nil, m.database.ContentStore().Delete(ctx, given.Digest)
}

func readContent(m *machine, ctx context.Context, given operation) (interface{}, error) {
	reader, err := m.database.ContentStore().ReaderAt(ctx, ocispec.Descriptor{Digest: given.Digest})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	data, err := io.ReadAll(content.NewReader(reader))
	return string(data), err
}

func statusOfIngest(m *machine, ctx context.Context, given operation) (interface{}, error) {
	found, err := m.database.ContentStore().Status(ctx, given.Ref)
	return statusResult(found), err
}

func statuses(m *machine, ctx context.Context, given operation) (interface{}, error) {
	found, err := m.database.ContentStore().ListStatuses(ctx, given.Filters...)
	results := []status{}
	for _, one := range found {
		results = append(results, statusResult(one))
	}
	return sorted(results), err
}

func abort(m *machine, ctx context.Context, given operation) (interface{}, error) {
	return nil, m.database.ContentStore().Abort(ctx, given.Ref)
}

func openWriter(m *machine, ctx context.Context, given operation) (interface{}, error) {
	writer, err := m.database.ContentStore().Writer(ctx,
		content.WithRef(given.Ref),
		content.WithDescriptor(ocispec.Descriptor{Digest: given.Digest, Size: given.Size}))
	if err != nil {
		return nil, err
	}
	m.writers[given.Writer] = writer
	return statusOfWriter(m, ctx, given)
}

func (m *machine) writer(given operation) (content.Writer, error) {
	writer, ok := m.writers[given.Writer]
	if !ok {
		return nil, fmt.Errorf("writer %s: %w", given.Writer, errdefs.ErrNotFound)
	}
	return writer, nil
}

func write(m *machine, _ context.Context, given operation) (interface{}, error) {
	writer, err := m.writer(given)
	if err != nil {
		return nil, err
	}
	return writer.Write(given.Data)
}

func truncate(m *machine, _ context.Context, given operation) (interface{}, error) {
	writer, err := m.writer(given)
	if err != nil {
		return nil, err
	}
	return nil, writer.Truncate(given.Size)
}

type progress struct {
	status
	Digest digest.Digest `json:"digest"`
}

func statusOfWriter(m *machine, _ context.Context, given operation) (interface{}, error) {
	writer, err := m.writer(given)
	if err != nil {
		return nil, err
	}
	found, err := writer.Status()
	return progress{status: statusResult(found), Digest: writer.Digest()}, err
}

// commitWriter closes it too, whatever came of it: so do all callers.
func commitWriter(m *machine, ctx context.Context, given operation) (interface{}, error) {
	writer, err := m.writer(given)
	if err != nil {
		return nil, err
	}
	delete(m.writers, given.Writer)
	var options []content.Opt
	if given.Labels != nil {
		options = append(options, content.WithLabels(given.Labels))
	}
	err = writer.Commit(ctx, given.Size, given.Digest, options...)
	if closing := writer.Close(); err == nil {
		err = closing
	}
	return nil, err
}

func closeWriter(m *machine, _ context.Context, given operation) (interface{}, error) {
	writer, err := m.writer(given)
	if err != nil {
		return nil, err
	}
	delete(m.writers, given.Writer)
	return nil, writer.Close()
}
