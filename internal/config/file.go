package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// loadFile reads a configuration file: YAML, one key a setting, lists as YAML
// lists or as texts with commas.
func (s *Set) loadFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config file %s: cannot be read: %w", path, pathCause(err))
	}
	entries, err := parseFile(data)
	if err != nil {
		return fmt.Errorf("config file %s: %w", path, err)
	}
	seen := make(map[string]int)
	for _, e := range entries {
		place := fmt.Sprintf("config file %s line %d", path, e.line)
		st := s.byName[e.key]
		if st == nil {
			var names []string
			for _, known := range s.settings {
				names = append(names, known.Name)
			}
			if near := nearest(e.key, names); near != "" {
				return fmt.Errorf("%s: unknown setting %s, did you mean %s?", place, e.key, near)
			}
			return fmt.Errorf("%s: unknown setting %s", place, e.key)
		}
		if first, twice := seen[e.key]; twice {
			return fmt.Errorf("%s: %s is set a second time, first in line %d", place, e.key, first)
		}
		seen[e.key] = e.line
		if e.err != nil {
			return fmt.Errorf("%s: %s: %w", place, e.key, e.err)
		}
		if err := st.load(e.text, Origin{place: place}); err != nil {
			return err
		}
	}
	return nil
}

// entry is one key of a file with the text of its value.
type entry struct {
	key  string
	text string
	line int
	err  error // the value has no text
}

// parseFile returns the entries of a YAML document in their order.
func parseFile(data []byte) ([]entry, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %s", firstLine(err.Error()))
	}
	var entries []entry
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.MappingNode:
			for _, kv := range body.Values {
				entries = append(entries, newEntry(kv))
			}
		case *ast.MappingValueNode:
			entries = append(entries, newEntry(body))
		default:
			return nil, errors.New("must be a list of `setting: value` lines")
		}
	}
	return entries, nil
}

func newEntry(kv *ast.MappingValueNode) entry {
	e := entry{key: kv.Key.GetToken().Value, line: kv.Key.GetToken().Position.Line}
	e.text, e.err = scalar(kv.Value)
	if list, ok := kv.Value.(*ast.SequenceNode); ok {
		var parts []string
		e.err = nil
		for _, v := range list.Values {
			part, err := scalar(v)
			if err != nil {
				e.err = err
				break
			}
			parts = append(parts, part)
		}
		e.text = strings.Join(parts, ",")
	}
	return e
}

// scalar returns the text of a value as it stands in the file, so that each
// kind of setting reads it by its own rules.
func scalar(n ast.Node) (string, error) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, nil
	case *ast.NullNode, nil:
		return "", errors.New("has no value; remove the line to get the default")
	}
	return "", errors.New("must be a single value")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// pathCause drops the operation and path that a message names already.
func pathCause(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
