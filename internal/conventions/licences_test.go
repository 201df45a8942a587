package conventions

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type linked struct {
	Path     string
	Dir      string
	Main     bool
	Indirect bool
}

// linkedModules are the modules that the binary is linked from.
func linkedModules(t *testing.T) []linked {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/handprint")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	args := []string{"list", "-m", "-json=Path,Dir,Main,Indirect"}
	seen := map[string]bool{"": true}
	for _, path := range strings.Split(string(out), "\n") {
		if !seen[path] {
			seen[path] = true
			args = append(args, path)
		}
	}
	cmd = exec.Command("go", args...)
	cmd.Dir = filepath.Join("..", "..")
	if out, err = cmd.Output(); err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	var modules []linked
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m linked
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return modules
		} else if err != nil {
			t.Fatal(err)
		}
		if !m.Main {
			modules = append(modules, m)
		}
	}
}

// licences are phrases by which a licence that may be linked is known, in the
// order in which they are looked for.
var licences = []struct{ name, phrase string }{
	{"Apache-2.0", "apache license"},
	{"MPL-2.0", "mozilla public license"},
	{"BSD", "redistribution and use in source and binary forms"},
	{"MIT", "permission is hereby granted, free of charge"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software"},
	{"Unlicense", "this is free and unencumbered software"},
}

func licenceOf(dir string) (name string, found bool) {
	for _, pattern := range []string{"LICEN[SC]E*", "COPYING*", "License*", "license*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			lower := strings.ToLower(strings.Join(strings.Fields(string(text)), " "))
			for _, l := range licences {
				if strings.Contains(lower, l.phrase) {
					return l.name, true
				}
			}
		}
	}
	return "", false
}

func TestLinkedLicencesAreKnown(t *testing.T) {
	for _, m := range linkedModules(t) {
		if _, ok := licenceOf(m.Dir); !ok {
			t.Errorf("%s: no licence that may be linked was found in the module", m.Path)
		}
	}
}

// Every module that go.mod requires directly has its line in the page, with the
// licence that the module itself has.
func TestDirectDependenciesAreExplained(t *testing.T) {
	page, err := os.Open("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	rows := map[string]string{}
	for scan := bufio.NewScanner(page); scan.Scan(); {
		cells := strings.Split(scan.Text(), "|")
		if len(cells) < 4 {
			continue
		}
		licence := cells[len(cells)-2]
		for _, name := range strings.Split(cells[1], "`") {
			if strings.Contains(name, ".") && strings.Contains(name, "/") {
				rows[strings.TrimSpace(name)] = licence
			}
		}
	}
	cmd := exec.Command("go", "list", "-m", "-json=Path,Dir,Main,Indirect", "all")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m all: %v", err)
	}
	direct := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m linked
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Main || m.Indirect {
			continue
		}
		direct++
		licence, ok := rowOf(rows, m.Path)
		if !ok {
			t.Errorf("docs/dependencies.md has no line for %s", m.Path)
			continue
		}
		if own, found := licenceOf(m.Dir); found && !strings.Contains(licence, own) {
			t.Errorf("docs/dependencies.md says%sof %s, whose own file says %s", licence, m.Path, own)
		}
	}
	if direct < 15 {
		t.Fatalf("go list names %d direct requirements", direct)
	}
}

// rowOf finds the line of a module: by its path, or by the path of a repository
// that holds it.
func rowOf(rows map[string]string, path string) (string, bool) {
	for at := path; strings.Count(at, "/") > 0; at = at[:strings.LastIndexByte(at, '/')] {
		if licence, ok := rows[at]; ok {
			return licence, true
		}
	}
	return "", false
}
