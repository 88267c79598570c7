package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// operation is one line of a script. Path leads from the root to the bucket that is meant.
type operation struct {
	Kind     string `json:"op"`
	Path     []raw  `json:"path"`
	Key      raw    `json:"key"`
	Value    raw    `json:"value"`
	Sequence uint64 `json:"sequence"`
}

// result answers one operation: at most one of the fields is set.
type result struct {
	Error    string  `json:"error,omitempty"`
	Sequence *uint64 `json:"sequence,omitempty"`
	Value    *string `json:"value,omitempty"`
}

var errNoBucket = errors.New("the path leads to no bucket")

var kinds = map[error]string{
	bolt.ErrKeyRequired:        "key_required",
	bolt.ErrBucketNameRequired: "key_required",
	bolt.ErrKeyTooLarge:        "key_too_large",
	bolt.ErrValueTooLarge:      "value_too_large",
	bolt.ErrIncompatibleValue:  "incompatible_value",
	bolt.ErrBucketExists:       "bucket_exists",
	bolt.ErrBucketNotFound:     "bucket_not_found",
	errNoBucket:                "no_bucket",
}

// player holds the database and the writing transaction that a script has begun.
type player struct {
	path    string
	options bolt.Options
	db      *bolt.DB
	tx      *bolt.Tx
}

// run plays a script. An error that bbolt gives a caller is a result; any other ends the run.
func run(path string, options bolt.Options, in io.Reader, out *bufio.Writer) error {
	p := &player{path: path, options: options}
	if err := p.open(); err != nil {
		return err
	}
	if err := p.playAll(in, out); err != nil {
		p.close()
		return err
	}
	// Not deferred: closing waits for the lock that a panic inside a commit leaves held.
	return p.close()
}

func (p *player) playAll(in io.Reader, out *bufio.Writer) error {
	lines, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for number := 1; ; number++ {
		var op operation
		if err := lines.Decode(&op); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("operation %d: %w", number, err)
		}
		answer, err := p.play(op)
		if kind, known := kinds[err]; known {
			answer = result{Error: kind}
		} else if err != nil {
			return fmt.Errorf("operation %d, %s: %w", number, op.Kind, err)
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

func (p *player) open() (err error) {
	p.db, err = bolt.Open(p.path, 0o644, &p.options)
	return err
}

func (p *player) close() error {
	if p.tx != nil {
		if err := p.end((*bolt.Tx).Rollback); err != nil {
			return err
		}
	}
	return p.db.Close()
}

func (p *player) end(how func(*bolt.Tx) error) error {
	tx := p.tx
	p.tx = nil
	return how(tx)
}

func (p *player) play(op operation) (result, error) {
	switch op.Kind {
	case "reopen":
		if err := p.close(); err != nil {
			return result{}, err
		}
		return result{}, p.open()
	case "begin":
		tx, err := p.db.Begin(true)
		p.tx = tx
		return result{}, err
	}
	if p.tx == nil {
		return result{}, errors.New("no transaction has begun")
	}
	switch op.Kind {
	case "commit":
		return result{}, p.end((*bolt.Tx).Commit)
	case "rollback":
		return result{}, p.end((*bolt.Tx).Rollback)
	}
	return p.change(op)
}

func (p *player) change(op operation) (result, error) {
	bucket := p.tx.Cursor().Bucket()
	for _, name := range op.Path {
		if bucket = bucket.Bucket(name); bucket == nil {
			return result{}, errNoBucket
		}
	}
	switch op.Kind {
	case "get":
		value := bucket.Get(op.Key)
		if value == nil {
			return result{}, nil
		}
		text := hex.EncodeToString(value)
		return result{Value: &text}, nil
	case "put":
		return result{}, bucket.Put(op.Key, op.Value)
	case "delete":
		return result{}, bucket.Delete(op.Key)
	case "create_bucket":
		_, err := bucket.CreateBucket(op.Key)
		return result{}, err
	case "delete_bucket":
		return result{}, deleteBucket(bucket, op.Key)
	case "next_sequence":
		number, err := bucket.NextSequence()
		return result{Sequence: &number}, err
	case "set_sequence":
		return result{}, bucket.SetSequence(op.Sequence)
	}
	return result{}, fmt.Errorf("unknown operation %q", op.Kind)
}

// deleteBucket empties a bucket of its buckets before it deletes it. bbolt 1.3.6 deletes them
// while it iterates over them, passes some over, and so loses their pages for ever, which its
// own check then reports ("unreachable unfreed").
func deleteBucket(parent *bolt.Bucket, name []byte) error {
	if child := parent.Bucket(name); child != nil {
		var inner [][]byte
		cursor := child.Cursor()
		for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
			if child.Bucket(key) != nil {
				inner = append(inner, append([]byte{}, key...))
			}
		}
		for _, key := range inner {
			if err := deleteBucket(child, key); err != nil {
				return err
			}
		}
	}
	return parent.DeleteBucket(name)
}
