package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/images"
	"github.com/containerd/containerd/metadata"
	bolt "go.etcd.io/bbolt"
)

const (
	garbageEvery = 100 // one image in so many is deleted: 0.9 % of all objects
	changes      = 100
	settleTime   = 50 * time.Millisecond
)

func groupsOf(objects int) int { return (objects + objectsAGroup - 1) / objectsAGroup }

// collectGarbage measures a collection while a thread commits one image after the other.
func collectGarbage(folder string, count int) (results, error) {
	database, err := openMetadata(filepath.Join(folder, metadataFile), nil)
	if err != nil {
		return nil, err
	}
	defer database.close()
	ctx, store := background(), metadata.NewImageStore(database.DB)
	err = database.Update(func(tx *bolt.Tx) error {
		ctx := metadata.WithTransactionContext(ctx, tx)
		for group := 0; group < groupsOf(count); group += garbageEvery {
			if err := store.Delete(ctx, imageName(group)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	writer := startWriter(ctx, store, groupsOf(count))
	time.Sleep(settleTime)
	begun := time.Now()
	stats, err := database.GarbageCollect(ctx)
	whole := time.Since(begun).Seconds()
	if err != nil {
		return nil, err
	}
	longest, err := writer.stop()
	return results{"hold": stats.Elapsed().Seconds(), "whole": whole, "wait": longest}, err
}

// collectAgain measures a first collection that frees nothing, and one after some changes.
func collectAgain(folder string, count int) (results, error) {
	database, err := openMetadata(filepath.Join(folder, metadataFile), nil)
	if err != nil {
		return nil, err
	}
	defer database.close()
	ctx := background()
	first, pause, err := collect(ctx, database)
	if err != nil {
		return nil, err
	}
	if err := change(ctx, database, groupsOf(count)); err != nil {
		return nil, err
	}
	again, _, err := collect(ctx, database)
	return results{"first": first, "pause": pause, "again": again}, err
}

func collect(ctx context.Context, database *store) (elapsed, pause float64, err error) {
	begun := time.Now()
	stats, err := database.GarbageCollect(ctx)
	if err != nil {
		return 0, 0, err
	}
	return time.Since(begun).Seconds(), stats.Elapsed().Seconds(), nil
}

// change makes, relabels and deletes images: two, one and one of every four changes.
func change(ctx context.Context, database *store, groups int) error {
	store := metadata.NewImageStore(database.DB)
	for number := 0; number < changes; number++ {
		var err error
		switch group := number % groups; {
		case number%4 < 2:
			err = second(store.Create(ctx, extraImage(groups+number, group)))
		case number%4 == 2:
			err = relabel(ctx, store, group)
		default:
			err = store.Delete(ctx, imageName(group))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// extraImage is one more name for what another image names.
func extraImage(number, group int) images.Image {
	made := image(number)
	made.Target = descriptor(group)
	return made
}

type writer struct {
	stopped int32
	ended   chan error
	longest time.Duration
}

func startWriter(ctx context.Context, store images.Store, first int) *writer {
	made := &writer{ended: make(chan error, 1)}
	go func() {
		for number := first; atomic.LoadInt32(&made.stopped) == 0; number++ {
			begun := time.Now()
			if _, err := store.Create(ctx, extraImage(number, 1)); err != nil {
				made.ended <- fmt.Errorf("image %d: %w", number, err)
				return
			}
			if took := time.Since(begun); took > made.longest {
				made.longest = took
			}
		}
		made.ended <- nil
	}()
	return made
}

// stop returns how long the longest commit took, in seconds.
func (w *writer) stop() (float64, error) {
	atomic.StoreInt32(&w.stopped, 1)
	err := <-w.ended
	return w.longest.Seconds(), err
}

// openToWrite measures from a file without a freelist to the first commit that is durable.
func openToWrite(folder string, _ int) (results, error) {
	begun := time.Now()
	database, err := openMetadata(
		filepath.Join(folder, metadataFile), &bolt.Options{NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	defer database.close()
	_, err = metadata.NewImageStore(database.DB).Create(background(), extraImage(1<<30, 1))
	return results{"first write": time.Since(begun).Seconds()}, err
}

func dropFreelist(folder string, _ int) (results, error) {
	database, err := openMetadata(
		filepath.Join(folder, metadataFile), &bolt.Options{NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	if err := database.touch(); err != nil {
		return nil, err
	}
	return results{}, database.close()
}
