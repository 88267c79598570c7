// Command peer does with Debian's bbolt and containerd packages what Orlop is measured at.
//
//	peer MEASUREMENT FOLDER COUNT
//
// It works in FOLDER, does COUNT operations (or makes COUNT objects) and prints one JSON object:
// seconds an operation, by the name of what was measured. benchmarks/sides does the same with
// Orlop, and both read the files that the measurements called "make-..." write.
package main

import (
	_ "crypto/sha256" // digests look their hashes up
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
)

type results map[string]float64

type measurement func(folder string, count int) (results, error)

var measurements = map[string]measurement{
	"make-objects":      makeObjects,
	"make-images":       makeImages,
	"make-pairs":        makePairs,
	"drop-freelist":     dropFreelist,
	"engine-sequential": putSequentially,
	"engine-random":     putRandomly,
	"engine-read":       readPairs,
	"engine-synced":     putSynced,
	"mutate":            mutate,
	"create-16":         createFromThreads,
	"read-images":       readImages,
	"content-small":     writeSmall,
	"content-large":     writeLarge,
	"collect-garbage":   collectGarbage,
	"collect-again":     collectAgain,
	"open":              openToWrite,
}

func main() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: peer MEASUREMENT FOLDER COUNT"))
	}
	logrus.SetOutput(io.Discard)
	run, ok := measurements[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no measurement %q", os.Args[1]))
	}
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fail(err)
	}
	found, err := run(os.Args[2], count)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// each returns the seconds that one of count calls takes.
func each(count int, call func(number int) error) (float64, error) {
	begun := time.Now()
	for number := 0; number < count; number++ {
		if err := call(number); err != nil {
			return 0, err
		}
	}
	return time.Since(begun).Seconds() / float64(count), nil
}

// timed returns the seconds that one of count operations takes, all of them done by one call.
func timed(count int, call func() error) (float64, error) {
	begun := time.Now()
	err := call()
	return time.Since(begun).Seconds() / float64(count), err
}
