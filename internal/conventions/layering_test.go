package conventions

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "handprint"

type listed struct {
	ImportPath string
	Imports    []string
}

// goList returns the module's packages with what their code outside of tests
// imports, code behind build tags included.
func goList(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "integration,faults", "-json=ImportPath,Imports", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 20 {
		t.Fatalf("go list names %d packages", len(packages))
	}
	return packages
}

// layerOf returns the row whose folder is the longest that holds the package,
// and -1 for a package that no row holds.
func layerOf(layers []Layer, importPath string) int {
	row, length := -1, 0
	for i, l := range layers {
		for _, folder := range l.Folders {
			at := module + "/" + folder
			if (importPath == at || strings.HasPrefix(importPath, at+"/")) && len(at) > length {
				row, length = i, len(at)
			}
		}
	}
	return row
}

// violations are the packages that no row holds, and the imports that point up.
func violations(layers []Layer, packages []listed) []string {
	var found []string
	for _, p := range packages {
		from := layerOf(layers, p.ImportPath)
		if from < 0 {
			found = append(found, p.ImportPath+" has no row in Layers")
			continue
		}
		for _, imported := range p.Imports {
			to := layerOf(layers, imported)
			if strings.HasPrefix(imported, module+"/") && to < from {
				found = append(found, fmt.Sprintf("%s imports %s, which is above it", p.ImportPath, imported))
			}
		}
	}
	return found
}

func TestImportsPointDown(t *testing.T) {
	for _, v := range violations(Layers(), goList(t)) {
		t.Error(v)
	}
}

func TestAnImportThatPointsUpIsFound(t *testing.T) {
	got := violations(Layers(), []listed{
		{"handprint/state", []string{"handprint/processor", "os"}},
		{"handprint/processor", []string{"handprint/state"}},
		{"handprint/serve/api", []string{"handprint/serve/catalog"}},
		{"handprint/schemas/avro", []string{"handprint/schemas"}},
		{"handprint/nowhere", nil},
	})
	want := []string{
		"handprint/state imports handprint/processor, which is above it",
		"handprint/schemas/avro imports handprint/schemas, which is above it",
		"handprint/nowhere has no row in Layers",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// markdown is the order as docs/architecture.md has it.
func markdown(layers []Layer) string {
	var b strings.Builder
	b.WriteString("| folder | what lives there |\n| --- | --- |\n")
	for _, l := range layers {
		for i, folder := range l.Folders {
			if i > 0 {
				b.WriteString(", ")
			} else {
				b.WriteString("| ")
			}
			fmt.Fprintf(&b, "`%s/`", folder)
		}
		fmt.Fprintf(&b, " | %s |\n", l.What)
	}
	return b.String()
}

var update = flag.Bool("update", false, "write the order of the packages into docs/architecture.md")

func TestThePagePrintsTheOrder(t *testing.T) {
	const path = "../../docs/architecture.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := markdown(Layers())
	if strings.Contains(string(page), want) {
		return
	}
	if !*update {
		t.Fatalf("docs/architecture.md does not print the order of the packages (make docs), which is:\n%s", want)
	}
	head := want[:strings.Index(want, "\n")+1]
	before, rest, found := strings.Cut(string(page), head)
	_, after, ended := strings.Cut(rest, "\n\n")
	if !found || !ended {
		t.Fatalf("%s has no table that begins with %q", path, head)
	}
	if err := os.WriteFile(path, []byte(before+want+"\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
