package network

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"handprint/ingest"
)

// digest returns a digest of 32 hexadecimal digits in lower case, empty if the
// text is none.
func digest(text []byte) string {
	if len(text) != 32 || !all(text, isHexAnyCase) {
		return ""
	}
	return string(bytes.ToLower(text))
}

const blanks = " \t\r\n"

// banner returns an SSH client's banner, cut to a limit in bytes, empty if the
// text is none.
func banner(text []byte, limit int) string {
	text = bytes.Trim(text, blanks)
	if !bytes.HasPrefix(text, []byte("SSH-")) {
		return ""
	}
	if len(text) > limit {
		end := limit
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return string(text)
}

// kexOrder returns the key exchange algorithms of a HASSH's text.
func kexOrder(text []byte) []string {
	kex, _, _ := bytes.Cut(text, []byte(";"))
	if len(kex) == 0 {
		return nil
	}
	return strings.Split(string(kex), ",")
}

// ja4 returns a JA4 of a TLS client as it is, empty if the text has another
// form.
func ja4(text []byte) string {
	const (
		letters = 10 // t13d1516h2
		hash    = 12
		length  = letters + 2*(1+hash)
	)
	if len(text) != length || text[letters] != '_' || text[letters+1+hash] != '_' ||
		!all(text[letters+1:letters+1+hash], isHex) || !all(text[letters+2+hash:], isHex) {
		return ""
	}
	version := text[1:3]
	ok := version[0] == '1' && version[1] <= '3' && version[1] >= '0' ||
		(version[0] == 's' || version[0] == 'd') && version[1] >= '1' && version[1] <= '3' || string(version) == "00"
	if !ok || strings.IndexByte("tqd", text[0]) < 0 || text[3] != 'd' && text[3] != 'i' || !all(text[4:8], isDigit) ||
		!all(text[8:10], func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' }) {
		return ""
	}
	return string(text)
}

// tools are what user agents of tools contain, in the order in which they are
// looked for.
var tools = [...]struct {
	contains []byte
	class    string
}{
	{[]byte("nmap scripting engine"), "nmap_nse"}, {[]byte("sqlmap/"), "sqlmap"}, {[]byte("nuclei"), "nuclei"}, {[]byte("masscan/"), "masscan"},
	{[]byte("fuzz faster u fool"), "ffuf"}, {[]byte("gobuster/"), "gobuster"}, {[]byte("feroxbuster/"), "feroxbuster"}, {[]byte("nikto"), "nikto"},
	{[]byte("wpscan"), "wpscan"}, {[]byte("curl/"), "curl"},
}

// agentClass returns the class of the tool that a user agent names, empty if it
// names none.
func agentClass(text []byte) string {
	text = bytes.ToLower(text)
	for _, t := range tools {
		if bytes.Contains(text, t.contains) {
			return t.class
		}
	}
	return ""
}

// dialect returns the SMB dialect that a name of Suricata's stands for.
func dialect(text []byte) string {
	switch string(text) {
	case "NT LM 0.12":
		return "SMB1"
	case "2.02":
		return "SMB2.0.2"
	case "2.10":
		return "SMB2.1"
	case "3.00":
		return "SMB3.0"
	case "3.02":
		return "SMB3.0.2"
	case "3.11":
		return "SMB3.1.1"
	}
	return ""
}

// durationClass returns the class of a session's length.
func (n *Numbers) durationClass(micros int64) string {
	switch {
	case micros < n.DurationShort.Microseconds():
		return "short"
	case micros < n.DurationMedium.Microseconds():
		return "medium"
	case micros < n.DurationLong.Microseconds():
		return "long"
	}
	return "marathon"
}

func isDigit(c byte) bool      { return c >= '0' && c <= '9' }
func isHex(c byte) bool        { return isDigit(c) || c >= 'a' && c <= 'f' }
func isHexAnyCase(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func all(text []byte, is func(byte) bool) bool {
	for _, c := range text {
		if !is(c) {
			return false
		}
	}
	return true
}

// say calls send for each primitive that a row shows.
func (r *Row) say(n *Numbers, send func(primitive string, value ingest.Value, confidence float64) error) error {
	text := func(primitive, value string, confidence float64) error {
		if value == "" {
			return nil
		}
		return send(primitive, ingest.Text(value), confidence)
	}
	if err := text(HASSH, digest(r.HASSH), n.SSHConfidence); err != nil {
		return err
	}
	if err := text(Banner, banner(r.Banner, n.BannerBytes), n.SSHConfidence); err != nil {
		return err
	}
	if order := kexOrder(r.Algorithms); len(order) > 0 {
		if err := send(KexOrder, ingest.List(order), n.SSHConfidence); err != nil {
			return err
		}
	}
	if err := text(JA3, digest(r.JA3), n.TLSConfidence); err != nil {
		return err
	}
	if err := text(JA4, ja4(r.JA4), n.TLSConfidence); err != nil {
		return err
	}
	if len(r.Agent) > 0 {
		if err := text(Agent, agentClass(r.Agent), n.AgentConfidence); err != nil {
			return err
		}
	}
	if err := text(Dialect, dialect(r.Dialect), n.DialectConfidence); err != nil {
		return err
	}
	if r.Session {
		return text(Duration, n.durationClass(r.End-r.Start), n.DurationConfidence)
	}
	return nil
}
