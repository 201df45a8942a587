package conventions

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// eachGoFile calls use for each Go file of the project outside of tests and of
// this package, which has to name what it forbids.
func eachGoFile(t *testing.T, use func(path string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "conventions" || d.Name() == "testdata" || d.Name() == "out" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files++
		use(path, fset, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Fatalf("only %d files were looked at", files)
	}
}

func TestNoAvoidedNameIsBack(t *testing.T) {
	avoided := map[string]bool{}
	for _, name := range AvoidedNames() {
		avoided[name] = true
	}
	eachGoFile(t, func(_ string, fset *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && avoided[id.Name] {
				t.Errorf("%s: %s", fset.Position(id.Pos()), id.Name)
			}
			return true
		})
	})
}

func TestNoAvoidedPhraseIsInAComment(t *testing.T) {
	type rule struct {
		pattern *regexp.Regexp
		plain   string
	}
	var rules []rule
	for pattern, plain := range AvoidedPhrases() {
		rules = append(rules, rule{regexp.MustCompile(`(?i)` + pattern), plain})
	}
	eachGoFile(t, func(_ string, fset *token.FileSet, file *ast.File) {
		for _, group := range file.Comments {
			text := strings.Join(strings.Fields(strings.ReplaceAll(group.Text(), "\n", " ")), " ")
			for _, r := range rules {
				if found := r.pattern.FindString(text); found != "" {
					t.Errorf("%s: %q; say it with: %s", fset.Position(group.Pos()), found, r.plain)
				}
			}
		}
	})
}
