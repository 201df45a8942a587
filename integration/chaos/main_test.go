package main

import (
	"strings"
	"testing"
	"time"
)

// Wrong flags end the run before a cluster starts: one that does nothing must not
// say that it found nothing.
func TestOptionsAreChecked(t *testing.T) {
	good := options{rounds: 1, from: 1, epoch: 1, records: 1, load: time.Second, patience: time.Second}
	for _, c := range []struct {
		name   string
		change func(*options)
		want   string // in the error; empty: there is none
	}{
		{"as they are", func(*options) {}, ""},
		{"the beginning of a fault's name", func(o *options) { o.only = "kill" }, ""},
		{"no round", func(o *options) { o.rounds = 0 }, "-rounds"},
		{"from before the first", func(o *options) { o.from = 0 }, "-from"},
		{"applications of no round", func(o *options) { o.epoch = 0 }, "-epoch"},
		{"no input", func(o *options) { o.records = 0 }, "-records"},
		{"input in no time", func(o *options) { o.load = 0 }, "-load"},
		{"no patience", func(o *options) { o.patience = 0 }, "-patience"},
		{"no such fault", func(o *options) { o.only = "flood" }, `"flood"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.change(&o)
			err := o.check()
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
