package main

import (
	"fmt"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

const (
	pairsFile  = "pairs.db"
	valueBytes = 64
	passes     = 5
	stride     = 7919 // a prime: steps over all pairs without any order
	scrambler  = 0x9E3779B97F4A7C15
)

var pairsBucket = []byte("pairs")

func sequentialKey(number int) []byte { return []byte(fmt.Sprintf("%016x", number)) }

func randomKey(number int) []byte {
	return []byte(fmt.Sprintf("%016x", uint64(number+1)*scrambler))
}

func keys(count int, key func(int) []byte) [][]byte {
	made := make([][]byte, count)
	for number := range made {
		made[number] = key(number)
	}
	return made
}

func openPairs(folder string) (*bolt.DB, error) {
	return bolt.Open(filepath.Join(folder, pairsFile), 0o644, nil)
}

func putSequentially(folder string, count int) (results, error) {
	return putAtOnce(folder, keys(count, sequentialKey))
}

func putRandomly(folder string, count int) (results, error) {
	return putAtOnce(folder, keys(count, randomKey))
}

func makePairs(folder string, count int) (results, error) {
	return putAtOnce(folder, keys(count, randomKey))
}

// putAtOnce measures puts with the commit that makes them durable.
func putAtOnce(folder string, keys [][]byte) (results, error) {
	file, err := openPairs(folder)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	value := make([]byte, valueBytes)
	seconds, err := timed(len(keys), func() error {
		return file.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists(pairsBucket)
			if err != nil {
				return err
			}
			for _, key := range keys {
				if err := bucket.Put(key, value); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return results{"put": seconds}, err
}

func putSynced(folder string, count int) (results, error) {
	file, err := openPairs(folder)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	value := make([]byte, valueBytes)
	keys := keys(count, randomKey)
	seconds, err := each(count, func(number int) error {
		return file.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists(pairsBucket)
			if err != nil {
				return err
			}
			return bucket.Put(keys[number], value)
		})
	})
	return results{"put": seconds}, err
}

// readPairs measures in one transaction, after a pass that warms all up.
func readPairs(folder string, count int) (results, error) {
	file, err := openPairs(folder)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	wanted := keys(count, func(number int) []byte { return randomKey(number * stride % count) })
	found := results{}
	err = file.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(pairsBucket)
		get := func(number int) error {
			if bucket.Get(wanted[number%count]) == nil {
				return fmt.Errorf("pair %d is missing", number)
			}
			return nil
		}
		step := func() error {
			for pass := 0; pass < passes; pass++ {
				seen := 0
				cursor := bucket.Cursor()
				for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
					seen++
				}
				if seen != count {
					return fmt.Errorf("%d pairs instead of %d", seen, count)
				}
			}
			return nil
		}
		if _, err := each(count, get); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
		if found["get"], err = each(count, get); err != nil {
			return err
		}
		found["step"], err = timed(count*passes, step)
		found["items"] = found["step"]
		return err
	})
	return found, err
}
