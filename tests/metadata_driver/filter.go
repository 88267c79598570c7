package main

import (
	"context"
	"strings"

	"github.com/containerd/containerd/filters"
)

type record struct {
	Name   string            `json:"name"`
	Other  string            `json:"other"`
	Labels map[string]string `json:"labels"`
}

func (r record) field(path []string) (string, bool) {
	switch path[0] {
	case "name":
		return r.Name, r.Name != ""
	case "other":
		return r.Other, r.Other != ""
	case "labels":
		value, ok := r.Labels[strings.Join(path[1:], ".")]
		return value, ok
	}
	return "", false
}

// filter returns the places of the records that any of the expressions matches.
func filter(_ *machine, _ context.Context, given operation) (interface{}, error) {
	wanted, err := filters.ParseAll(given.Filters...)
	if err != nil {
		return nil, err
	}
	matching := []int{}
	for place, one := range given.Records {
		if wanted.Match(filters.AdapterFunc(one.field)) {
			matching = append(matching, place)
		}
	}
	return matching, nil
}
