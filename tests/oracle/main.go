// Oracle runs bbolt, the library that containerd itself stores its metadata with, on behalf
// of the tests: what it says of a file is what Orlop must say, and what it writes is what
// Orlop must read. It also reads tar archives and documents of images with Go's own readers,
// which containerd unpacks and understands images with.
//
//	oracle [options] check FILE   what bbolt's own check finds, as a JSON list of texts
//	oracle [options] dump FILE    the canonical dump, as of `orlop db dump --json`
//	oracle [options] run FILE     one JSON operation a line in, one JSON result a line out
//	oracle tar FILE               what archive/tar reads of each archive in FILE, one a line
//	oracle json FILE              what encoding/json reads of each document in FILE, one a line
//
// It is built in GOPATH mode on Debian's golang-github-coreos-bbolt-dev.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// lockTimeout bounds the wait for a lock that somebody forgot to release.
const lockTimeout = 10 * time.Second

// memoryMax is how much address space, in bytes, a damaged file may make bbolt take.
const memoryMax = 4 << 30

func main() {
	limit := syscall.Rlimit{Cur: memoryMax, Max: memoryMax}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
	options := bolt.Options{Timeout: lockTimeout}
	flag.IntVar(&options.PageSize, "page-size", 0, "page size of a new file in bytes")
	flag.BoolVar(&options.NoFreelistSync, "no-freelist-sync", false, "keep no freelist in the file")
	flag.BoolVar(&options.NoSync, "no-sync", false, "do not wait for the disk")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := command(flag.Arg(0), flag.Arg(1), options); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func command(name, path string, options bolt.Options) error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch name {
	case "check":
		return read(path, options, func(tx *bolt.Tx) error {
			return json.NewEncoder(out).Encode(check(tx))
		})
	case "dump":
		return read(path, options, func(tx *bolt.Tx) error {
			return json.NewEncoder(out).Encode(dump(tx))
		})
	case "run":
		return run(path, options, os.Stdin, out)
	case "tar":
		return readArchives(path, out)
	case "json":
		return readDocuments(path, out)
	default:
		return fmt.Errorf("unknown command %q", name)
	}
}

// read opens the file without writing to it and passes on one transaction.
func read(path string, options bolt.Options, use func(*bolt.Tx) error) error {
	options.ReadOnly = true
	db, err := bolt.Open(path, 0, &options)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(use)
}

func check(tx *bolt.Tx) []string {
	found := []string{}
	for err := range tx.Check() {
		found = append(found, err.Error())
	}
	return found
}
