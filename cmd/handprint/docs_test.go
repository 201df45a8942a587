package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pagesOf returns the pages that people read, from the root of the repository.
func pagesOf(t *testing.T) []string {
	t.Helper()
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../integration/*/*.md", "../../bench/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 25 {
		t.Fatalf("only %d pages", len(pages))
	}
	return pages
}

var (
	// A line of a block of code that begins with a command line of handprint, and
	// one within a pair of backquotes.
	commandOfBlock = regexp.MustCompile(`^(?:    )?(?:\$ |until |\w+=\$\()?(?:bin/)?handprint +([a-z-].*)`)
	commandInText  = regexp.MustCompile("`(?:bin/)?handprint +([a-z-][^`\n]*)`")
)

// notCommands begin with the program's name and are names of other things.
var notCommands = map[string]bool{"attribution": true, "identity I: observed behaviour": true}

// commandLines returns the command lines of handprint that a page shows.
func commandLines(page string) []string {
	var all []string
	inside := false
	for line := range strings.Lines(strings.ReplaceAll(page, "\\\n", " ")) {
		if strings.HasPrefix(line, "```") {
			inside = !inside
			continue
		}
		if m := commandOfBlock.FindStringSubmatch(line); m != nil && (inside || strings.HasPrefix(line, "    ")) {
			all = append(all, m[1])
			continue
		}
		for _, m := range commandInText.FindAllStringSubmatch(line, -1) {
			if !notCommands[m[1]] {
				all = append(all, m[1])
			}
		}
	}
	return all
}

// shellWords splits a command line as a shell would, up to a pipe, a redirection or
// the end of the command.
func shellWords(line string) []string {
	var all []string
	word, quote, begun := "", byte(0), false
	end := func() {
		if begun {
			all = append(all, word)
		}
		word, begun = "", false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word += string(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == ' ' || c == '\t':
			end()
		case c == '|' || c == '>' || c == '<' || c == '&' || c == ';' || c == ')' || c == '#' && !begun:
			end()
			return all
		default:
			word, begun = word+string(c), true
		}
	}
	end()
	return all
}

// TestEveryCommandOfThePagesIsOne holds the pages to the program: each command
// line that they show names a command that there is, with flags that it has.
// Whether it does what the page says is for the tests of the command.
func TestEveryCommandOfThePagesIsOne(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, page := range pagesOf(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandLines(string(text)) {
			if problem := unknown(shellWords(line)); problem != "" {
				t.Errorf("%s: handprint %s: %s", page, line, problem)
			}
			seen++
		}
	}
	if seen < 120 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// unknown returns what is wrong with the words of a command line.
func unknown(words []string) string {
	root := newApp(streams{}).root()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err.Error()
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "no such command"
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && rest[0] != "..." && cmd.Name() != "help" {
		return "no such command of " + cmd.CommandPath()
	}
	if len(rest) > 0 && rest[0] == "..." { // one of several commands, which do not have all flags alike
		return ""
	}
	// Values are placeholders on the pages, so that only names are looked at.
	if err := cmd.ParseFlags(rest); err != nil && strings.Contains(err.Error(), "unknown") {
		return err.Error()
	}
	return ""
}

func TestUnknownCommandLinesAreFound(t *testing.T) {
	t.Parallel()
	for line, good := range map[string]bool{
		"lag --watch 5s":                      true,
		"identity form|link|merge":            true,
		"events --state 'drifting' | head":    true,
		"run --brokers $BROKER --threads N &": true,
		"lag --wach 5s":                       false,
		"lags":                                false,
		"identity marry":                      false,
		"events -x":                           false,
	} {
		if problem := unknown(shellWords(line)); (problem == "") != good {
			t.Errorf("%s: %q", line, problem)
		}
	}
}
