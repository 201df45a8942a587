package cowrie

import "strings"

// command is one command of a line that counts: its head and its arguments.
type command struct {
	head string
	args []string
}

// shell reads lines as a shell would, without expanding anything
// (docs/cowrie.md, "Lines, commands, gaps"). The result of a line is in the
// fields until the next one is read; the strings outlive it.
type shell struct {
	commands []command // the commands that count, in order
	pipes    int       // pipes that end a command; || is none
	help     bool      // a word of the line is --help or -h

	words  []string // of the command being read
	word   []byte   // being read, quotes dropped
	inWord bool     // word is one, be it empty
	quoted bool     // something in word was quoted: a shell takes no number in it for a descriptor
	target bool     // the next word is the target of a redirection
}

// read reads one line.
func (sh *shell) read(line string) {
	sh.commands, sh.pipes, sh.help = sh.commands[:0], 0, false
	sh.words, sh.word, sh.inWord, sh.quoted, sh.target = nil, sh.word[:0], false, false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '\'', '"':
			i = sh.quote(line, i)
		case '\\':
			if i++; i < len(line) {
				sh.put(line[i])
				sh.quoted = true
			}
		case ' ', '\t', '\r', '(', ')', '`':
			sh.endWord()
		case '<', '>':
			i = sh.redirect(line, i)
		case '&':
			if i+1 < len(line) && line[i+1] == '>' {
				sh.endWord()
				i = sh.redirect(line, i+1)
				break
			}
			sh.endCommand()
		case '|':
			sh.endCommand()
			if i+1 < len(line) && line[i+1] == '|' {
				i++
			} else {
				sh.pipes++
			}
		case ';', '\n':
			sh.endCommand()
		default:
			sh.put(c)
		}
	}
	sh.endCommand()
}

func (sh *shell) put(c byte) {
	sh.word = append(sh.word, c)
	sh.inWord = true
}

// quote takes what the quote at i opens and returns where it ends: at the
// quote that closes it, or behind the line.
func (sh *shell) quote(line string, i int) int {
	mark := line[i]
	sh.inWord, sh.quoted = true, true
	for i++; i < len(line) && line[i] != mark; i++ {
		if line[i] == '\\' && mark == '"' {
			if i++; i == len(line) {
				break
			}
		}
		sh.put(line[i])
	}
	return i
}

// redirect takes the redirection whose < or > stands at i and returns its last
// character's place. The target follows as the next word.
func (sh *shell) redirect(line string, i int) int {
	if sh.inWord && !sh.quoted && allDigits(sh.word) {
		sh.word, sh.inWord = sh.word[:0], false
	}
	sh.endWord()
	sh.target = true
	for i+1 < len(line) && strings.IndexByte("<>&|", line[i+1]) >= 0 {
		i++
	}
	return i
}

func allDigits(word []byte) bool {
	for _, c := range word {
		if !isDigit(c) {
			return false
		}
	}
	return len(word) > 0
}

func (sh *shell) endWord() {
	if !sh.inWord {
		return
	}
	if sh.target {
		sh.target = false
	} else {
		word := string(sh.word)
		sh.words = append(sh.words, word)
		if word == "--help" || word == "-h" {
			sh.help = true
		}
	}
	sh.word, sh.inWord, sh.quoted = sh.word[:0], false, false
}

// endCommand takes the words since the last end as a command, if it counts.
func (sh *shell) endCommand() {
	sh.endWord()
	sh.target = false
	if len(sh.words) == 0 {
		return
	}
	if head, args := split(sh.words); head != "" && !uncounted[head] {
		// The arguments stay in use: the next command gets an array of its own.
		sh.commands = append(sh.commands, command{head, args})
		sh.words = nil
		return
	}
	sh.words = sh.words[:0]
}

// split tells the head of a command from what is before it and behind it. The
// head is empty if there is none.
func split(words []string) (head string, args []string) {
	for i := 0; i < len(words); i++ {
		if assignment(words[i]) {
			continue
		}
		name := words[i][strings.LastIndexByte(words[i], '/')+1:]
		switch {
		case reserved[name]:
		case wrappers[name]:
			for i+1 < len(words) && strings.HasPrefix(words[i+1], "-") {
				i++
			}
		default:
			return name, words[i+1:]
		}
	}
	return "", nil
}

// assignment reports whether word is a variable's name, =, and anything.
func assignment(word string) bool {
	name, _, found := strings.Cut(word, "=")
	if !found || name == "" || isDigit(name[0]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '_' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
