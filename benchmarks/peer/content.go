package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/containerd/containerd/content"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	smallBytes = 256
	largeBytes = 64 << 20
)

func writeSmall(folder string, count int) (results, error) {
	return writeBlobs(folder, count, smallBytes)
}

func writeLarge(folder string, count int) (results, error) {
	return writeBlobs(folder, count, largeBytes)
}

func writeBlobs(folder string, count, size int) (results, error) {
	database, err := openRoot(folder)
	if err != nil {
		return nil, err
	}
	defer database.close()
	ctx, data := background(), make([]byte, size)
	total := 0.0
	for number := 0; number < count; number++ {
		binary.BigEndian.PutUint64(data, uint64(number))
		expected := digest.FromBytes(data)
		seconds, err := timed(1, func() error {
			return writeBlob(ctx, database.ContentStore(), number, data, expected)
		})
		if err != nil {
			return nil, err
		}
		total += seconds
	}
	return results{"commit": total / float64(count)}, nil
}

func writeBlob(
	ctx context.Context, store content.Store, number int, data []byte, expected digest.Digest,
) error {
	described := ocispec.Descriptor{Digest: expected, Size: int64(len(data))}
	return content.WriteBlob(ctx, store, fmt.Sprint("ingest-", number), bytes.NewReader(data), described)
}
