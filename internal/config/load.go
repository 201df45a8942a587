package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Load gives every setting its value: the flag that was given, else the
// environment variable, else the configuration file, else the default. env is
// a list of "NAME=value" as os.Environ returns it. The path of the
// configuration file is that of the argument, else that of HANDPRINT_CONFIG;
// with neither there is none. Warnings are HANDPRINT_ variables that no setting
// has. The error is one line that says what to change and where.
func (s *Set) Load(file string, env []string) (warnings []string, err error) {
	for _, st := range s.settings {
		st.reset()
		st.origin = Origin{}
	}
	vars := variables(env)
	if file == "" {
		file = vars[EnvPrefix+"CONFIG"]
	}
	if file != "" {
		if err := s.loadFile(file); err != nil {
			return nil, err
		}
	}
	for _, st := range s.settings {
		if text, ok := vars[st.Env()]; ok {
			if err := st.load(text, Origin{"environment variable " + st.Env(), true}); err != nil {
				return nil, err
			}
		}
	}
	for _, st := range s.settings {
		if f := s.flags[st.Name]; f != nil && f.set {
			if err := st.load(f.text, Origin{"flag --" + st.Name, true}); err != nil {
				return nil, err
			}
		}
	}
	return s.unknownVariables(vars), nil
}

func (s *Setting) load(text string, from Origin) error {
	if err := s.assign(text); err != nil {
		return fmt.Errorf("%s: %w", from.of(s.Name), err)
	}
	s.origin = from
	return nil
}

// Errorf returns an error about the named setting that says where its value
// came from, for rules that concern more than one.
func (s *Set) Errorf(name, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	st := s.byName[name]
	if st == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Errorf("%s: %w", st.origin.of(name), err)
}

func variables(env []string) map[string]string {
	vars := make(map[string]string)
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, EnvPrefix) {
			vars[name] = value
		}
	}
	return vars
}

// Variables that handprint reads and that are no settings.
var otherVariables = []string{EnvPrefix + "CONFIG", EnvPrefix + "VECTORS"}

func (s *Set) unknownVariables(vars map[string]string) []string {
	known := slices.Clone(otherVariables)
	for _, st := range s.settings {
		known = append(known, st.Env())
	}
	var warnings []string
	for name := range vars {
		if slices.Contains(known, name) {
			continue
		}
		w := "environment variable " + name + " is not known"
		if near := nearest(name, known); near != "" {
			w += ", did you mean " + near + "?"
		}
		warnings = append(warnings, w)
	}
	slices.Sort(warnings)
	return warnings
}

// nearest returns the known name that differs least from name, or nothing if
// none is near.
func nearest(name string, known []string) string {
	best, least := "", max(len(name)/3, 2)+1
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to make b of
// a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			above := row[j+1]
			row[j+1] = min(row[j]+1, above+1, diagonal+cost)
			diagonal = above
		}
	}
	return row[len(b)]
}

// ReadSecret returns what a file holds, without the line end that editors add.
func ReadSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", pathCause(err))
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
