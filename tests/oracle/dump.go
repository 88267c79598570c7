package main

import (
	"encoding/hex"
	"encoding/json"

	bolt "go.etcd.io/bbolt"
)

// contents is a bucket in the canonical dump; the items are in key order.
type contents struct {
	Sequence uint64 `json:"sequence"`
	Items    []item `json:"items"`
}

// item is a key with either a bucket or a value.
type item struct {
	Key    string    `json:"key"`
	Bucket *contents `json:"bucket,omitempty"`
	Value  *string   `json:"value,omitempty"`
}

func dump(tx *bolt.Tx) *contents {
	// The root bucket's own counter has no accessor but through its cursor.
	root := tx.Cursor().Bucket()
	return dumpBucket(root)
}

func dumpBucket(bucket *bolt.Bucket) *contents {
	found := &contents{Sequence: bucket.Sequence(), Items: []item{}}
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		one := item{Key: hex.EncodeToString(key)}
		// An empty value and a bucket both read as nil here: only Bucket tells them apart.
		if child := bucket.Bucket(key); child != nil {
			one.Bucket = dumpBucket(child)
		} else {
			text := hex.EncodeToString(value)
			one.Value = &text
		}
		found.Items = append(found.Items, one)
	}
	return found
}

// raw is a byte string that travels as hex.
type raw []byte

// UnmarshalJSON reads a JSON string of hex digits.
func (r *raw) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(text)
	*r = decoded
	return err
}
