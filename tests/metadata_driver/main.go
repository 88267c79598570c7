// Command metadata_driver puts containerd's own metadata package to work on a root directory.
//
//	metadata_driver ROOT
//
// It reads one operation a line, as JSON, and answers each with one line: {"ok": result}, or
// {"error": kind, "message": text}. The operations are those of tests/differential; meta.db,
// content and snapshots lie in ROOT where a daemon has them.
package main

import (
	"bufio"
	_ "crypto/sha256" // digests look their hashes up
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"
)

const lineBytesMax = 16 << 20

type answer struct {
	Result  interface{} `json:"ok,omitempty"`
	Kind    string      `json:"error,omitempty"`
	Message string      `json:"message,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: metadata_driver ROOT"))
	}
	logrus.SetOutput(io.Discard)
	machine, err := open(os.Args[1])
	if err != nil {
		fail(err)
	}
	if err := serve(machine, os.Stdin, os.Stdout); err != nil {
		fail(err)
	}
	if err := machine.close(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func serve(machine *machine, input io.Reader, output io.Writer) error {
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, lineBytesMax)
	buffered := bufio.NewWriter(output)
	defer buffered.Flush()
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for lines.Scan() {
		var given operation
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if err := encoder.Encode(machine.answer(given)); err != nil {
			return err
		}
	}
	return lines.Err()
}
