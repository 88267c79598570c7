package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/images"
	bolt "go.etcd.io/bbolt"
)

// Ten objects belong together: an image, the five blobs that it holds (its manifest refers to
// the others, its config to the top snapshot), and a chain of four snapshots.
const (
	objectsAGroup      = 10
	blobsAGroup        = 5
	snapshotsAGroup    = 4
	groupsATransaction = 1000
	namespace          = "default"
	snapshotter        = "native"
	manifestType       = "application/vnd.oci.image.manifest.v1+json"
)

func imageName(group int) string { return fmt.Sprintf("docker.io/library/image-%07d:v1", group) }

func blobDigest(group, number int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprintf("blob %d %d", group, number))))
}

func snapshotKey(group, number int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprintf("layer %d %d", group, number))))
}

// makeObjects writes content and snapshots past the stores: those would want the data, too.
func makeObjects(folder string, count int) (results, error) {
	file, err := bolt.Open(filepath.Join(folder, metadataFile), 0o644, &bolt.Options{
		NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	groups := (count + objectsAGroup - 1) / objectsAGroup
	for first := 0; first < groups; first += groupsATransaction {
		err := file.Update(func(tx *bolt.Tx) error {
			for group := first; group < groups && group < first+groupsATransaction; group++ {
				if err := makeGroup(tx, group); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	// A daemon of this version keeps the freelist in the file, and notes the schema's version.
	database, err := openMetadata(filepath.Join(folder, metadataFile), nil)
	if err != nil {
		return nil, err
	}
	if err := database.touch(); err != nil {
		return nil, err
	}
	return results{}, database.close()
}

func makeGroup(tx *bolt.Tx, group int) error {
	w := &bucketWriter{tx: tx}
	w.image(group)
	for number := 0; number < blobsAGroup; number++ {
		w.blob(group, number)
	}
	for number := 0; number < snapshotsAGroup; number++ {
		w.snapshot(group, number)
	}
	return w.err
}

// bucketWriter keeps the first error, so that what is written reads as what lies there.
type bucketWriter struct {
	tx  *bolt.Tx
	err error
}

func (w *bucketWriter) bucket(path ...string) *bolt.Bucket {
	if w.err != nil {
		return nil
	}
	bucket, err := w.tx.CreateBucketIfNotExists([]byte("v1"))
	for _, name := range append([]string{namespace}, path...) {
		if err == nil {
			bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
		}
	}
	w.err = err
	return bucket
}

func (w *bucketWriter) put(bucket *bolt.Bucket, key string, value []byte) {
	if w.err == nil {
		w.err = bucket.Put([]byte(key), value)
	}
}

func (w *bucketWriter) times(bucket *bolt.Bucket) {
	now, err := time.Now().UTC().MarshalBinary()
	if w.err == nil {
		w.err = err
	}
	w.put(bucket, "createdat", now)
	w.put(bucket, "updatedat", now)
}

func (w *bucketWriter) size(bucket *bolt.Bucket, size int64) {
	var encoded [binary.MaxVarintLen64]byte
	w.put(bucket, "size", encoded[:binary.PutVarint(encoded[:], size)])
}

func (w *bucketWriter) image(group int) {
	bucket := w.bucket("images", imageName(group))
	w.times(bucket)
	labels := w.bucket("images", imageName(group), "labels")
	w.put(labels, "team", []byte(team(group)))
	target := w.bucket("images", imageName(group), "target")
	w.put(target, "digest", []byte(blobDigest(group, 0)))
	w.put(target, "mediatype", []byte(manifestType))
	w.size(target, 1000)
}

func (w *bucketWriter) blob(group, number int) {
	digest := blobDigest(group, number)
	bucket := w.bucket("content", "blob", digest)
	w.times(bucket)
	w.size(bucket, int64(1000*(number+1)))
	labels := w.bucket("content", "blob", digest, "labels")
	switch number {
	case 0:
		for other := 1; other < blobsAGroup; other++ {
			label := fmt.Sprintf("containerd.io/gc.ref.content.%d", other-1)
			w.put(labels, label, []byte(blobDigest(group, other)))
		}
	case 1:
		top := snapshotKey(group, snapshotsAGroup-1)
		w.put(labels, "containerd.io/gc.ref.snapshot."+snapshotter, []byte(top))
	default:
		w.put(labels, "containerd.io/uncompressed", []byte(snapshotKey(group, number-2)))
	}
}

func (w *bucketWriter) snapshot(group, number int) {
	key := snapshotKey(group, number)
	bucket := w.bucket("snapshots", snapshotter, key)
	w.put(bucket, "name", []byte(fmt.Sprintf("%s/%d/%s", namespace, group*snapshotsAGroup+number, key)))
	w.times(bucket)
	if number == 0 {
		return
	}
	parent := snapshotKey(group, number-1)
	w.put(bucket, "parent", []byte(parent))
	w.put(w.bucket("snapshots", snapshotter, parent, "children"), key, nil)
}

func team(number int) string {
	if number%2 == 0 {
		return "a"
	}
	return "b"
}

func image(number int) images.Image {
	made := images.Image{Name: imageName(number), Labels: map[string]string{"team": team(number)}}
	made.Target = descriptor(number)
	return made
}
