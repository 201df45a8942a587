package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the reference of all settings, docs/configuration.md.
func (s *Set) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(`# Configuration

Generated from the declarations in ` + "`internal/config/` and `cmd/handprint/`" + ` by ` + "`go generate ./cmd/handprint`" + `; do not edit.

Every setting can be given as a flag, as an environment variable or in a configuration file; where several say something, that is also the order in which they count, and the default comes last.

- As a flag: ` + "`--threads 4`" + `. Each command has the flags that it needs. Flags of low importance are not listed by ` + "`--help`" + ` but can be given.
- As an environment variable: ` + "`HANDPRINT_THREADS=4`" + `. A variable that begins with ` + "`HANDPRINT_`" + ` and is not known is warned about.
- In a file: ` + "`threads: 4`" + `, YAML, one line a setting. The file is named by ` + "`--config FILE`" + ` or ` + "`HANDPRINT_CONFIG`" + `. A key that is not known is refused.

Durations are written as ` + "`500ms`, `60s`, `24h`" + `; sizes as ` + "`262144`, `256KiB`, `8MiB`" + `; lists with commas, or in a file as a YAML list.

Thresholds must be the same in every process of an application: they decide what is concluded.
`)
	group := ""
	for _, st := range s.settings {
		if st.Group != group {
			group = st.Group
			fmt.Fprintf(&b, "\n## %s\n\n| setting | type | default | values | importance | meaning |\n| --- | --- | --- | --- | --- | --- |\n", group)
		}
		def := "none"
		if st.Default != "" {
			def = "`" + st.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", st.Name, st.Type, def, cell(st.Range), st.Importance, cell(sentence(st.Doc)))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// sentence writes a phrase as a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
