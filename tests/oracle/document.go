package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// The documents of an image, with the fields that a reader of images asks for.
type (
	imagePlatform struct {
		Architecture string   `json:"architecture"`
		OS           string   `json:"os"`
		OSVersion    string   `json:"os.version,omitempty"`
		OSFeatures   []string `json:"os.features,omitempty"`
		Variant      string   `json:"variant,omitempty"`
	}
	imageDescriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		URLs        []string          `json:"urls,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
		Platform    *imagePlatform    `json:"platform,omitempty"`
	}
	imageIndex struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType,omitempty"`
		Manifests     []imageDescriptor `json:"manifests"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}
	imageManifest struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType,omitempty"`
		Config        imageDescriptor   `json:"config"`
		Layers        []imageDescriptor `json:"layers"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}
	imageConfig struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant,omitempty"`
		RootFS       struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	savedImage struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	imageLayout struct {
		Version string `json:"imageLayoutVersion"`
	}
)

// readDocuments writes what Go's decoder makes of each document, one JSON document a line. An
// item is the kind of document, a NUL byte, and the document.
func readDocuments(path string, out io.Writer) error {
	encoder := json.NewEncoder(out)
	return readBatch(path, func(item []byte) error {
		kind, data, _ := bytes.Cut(item, []byte{0})
		document, whole, err := newDocument(string(kind))
		if err != nil {
			return err
		}
		if whole {
			err = json.Unmarshal(data, document)
		} else {
			err = json.NewDecoder(bytes.NewReader(data)).Decode(document)
		}
		if err != nil {
			return encoder.Encode(map[string]string{"error": err.Error()})
		}
		return encoder.Encode(map[string]interface{}{"document": document})
	})
}

// newDocument returns a place for a document, and whether nothing may follow it in its file.
func newDocument(kind string) (document interface{}, whole bool, err error) {
	switch kind {
	case "index":
		return &imageIndex{}, true, nil
	case "manifest":
		return &imageManifest{}, true, nil
	case "config":
		return &imageConfig{}, true, nil
	case "saved":
		return &[]savedImage{}, false, nil
	case "layout":
		return &imageLayout{}, false, nil
	}
	return nil, false, fmt.Errorf("unknown kind of document %q", kind)
}
