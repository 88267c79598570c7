package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
)

// dataMax is how many bytes of an entry are told: a sparse file may claim any size.
const dataMax = 1 << 16

// attributePrefix goes before the name of an extended attribute in a pax record.
const attributePrefix = "SCHILY.xattr."

// archiveEntry is an entry of a tar archive; bytes are in hexadecimal digits.
type archiveEntry struct {
	Name       string            `json:"name"`
	Link       string            `json:"link"`
	Type       string            `json:"type"`
	Mode       int64             `json:"mode"`
	Owner      int64             `json:"owner"`
	Group      int64             `json:"group"`
	Size       int64             `json:"size"`
	Modified   [2]int64          `json:"modified"`
	Accessed   [2]int64          `json:"accessed"`
	Device     [2]int64          `json:"device"`
	Attributes map[string]string `json:"attributes"`
	Data       string            `json:"data"`
}

// archiveRead is what reading an archive gave: entries, and what ended it before its end.
type archiveRead struct {
	Entries []archiveEntry `json:"entries"`
	Error   string         `json:"error"`
}

// readBatch passes on each item of a file of items, each behind its length (8 bytes, big endian).
func readBatch(path string, use func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReader(file)
	for {
		var length uint64
		if err := binary.Read(in, binary.BigEndian, &length); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		item := make([]byte, length)
		if _, err := io.ReadFull(in, item); err != nil {
			return err
		}
		if err := use(item); err != nil {
			return err
		}
	}
}

// readArchives writes what Go's reader makes of each archive, one JSON document a line.
func readArchives(path string, out io.Writer) error {
	encoder := json.NewEncoder(out)
	return readBatch(path, func(archive []byte) error {
		return encoder.Encode(readArchive(archive))
	})
}

func readArchive(archive []byte) archiveRead {
	found := archiveRead{Entries: []archiveEntry{}}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			found.Error = err.Error()
			return found
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(reader, dataMax))
		if err != nil {
			found.Error = err.Error()
			return found
		}
		found.Entries = append(found.Entries, describe(header, data))
	}
}

func describe(header *tar.Header, data []byte) archiveEntry {
	entry := archiveEntry{
		Name:       hex.EncodeToString([]byte(header.Name)),
		Link:       hex.EncodeToString([]byte(header.Linkname)),
		Type:       hex.EncodeToString([]byte{header.Typeflag}),
		Mode:       header.Mode & 0o7777,
		Owner:      int64(header.Uid),
		Group:      int64(header.Gid),
		Size:       header.Size,
		Modified:   [2]int64{header.ModTime.Unix(), int64(header.ModTime.Nanosecond())},
		Device:     [2]int64{header.Devmajor, header.Devminor},
		Attributes: map[string]string{},
		Data:       hex.EncodeToString(data),
	}
	if !header.AccessTime.IsZero() {
		entry.Accessed = [2]int64{header.AccessTime.Unix(), int64(header.AccessTime.Nanosecond())}
	}
	for key, value := range header.PAXRecords {
		if strings.HasPrefix(key, attributePrefix) {
			name := hex.EncodeToString([]byte(key[len(attributePrefix):]))
			entry.Attributes[name] = hex.EncodeToString([]byte(value))
		}
	}
	return entry
}
