package cowrie

import "strings"

type set map[string]bool

func setOf(words string) set {
	s := set{}
	for w := range strings.FieldsSeq(words) {
		s[w] = true
	}
	return s
}

// What the words of a command mean (docs/cowrie.md, "Lines, commands, gaps"
// and "Computed from the commands"). Upper and lower case differ.
var (
	// reserved are the shell's own words, which come before a head.
	reserved = setOf("{ } ! if then elif else fi while until do done esac")
	// wrappers run the command that follows them and their options.
	wrappers = setOf("sudo nohup exec command builtin time busybox")
	// uncounted are heads whose words are no command.
	uncounted = setOf("for case select function")
	// neutral heads print or branch and try no tool.
	neutral = setOf("echo printf true : test [")

	landing = setOf("uname id whoami pwd hostname w who")
	leaving = setOf("exit logout quit logoff")
	manual  = setOf("man help info")

	cleaning    = setOf("rm shred clear kill")
	disciplined = setOf("set script")
)

// objectives are the classes of heads, in the order in which a head belongs
// to the first that has it and in which ties go.
var objectives = [...]struct {
	name  string
	heads set
}{
	{"destructive", setOf("rm dd mkfs shred wipe kill pkill killall truncate fdisk")},
	{"persistence", setOf("crontab systemctl useradd usermod passwd chpasswd chsh at service chkconfig update-rc.d")},
	{"exfil", setOf("curl wget scp rsync nc ncat socat tar base64 xxd python python3 openssl")},
	{"lateral", setOf("ssh telnet rsh rlogin ftp sftp mosh kubectl docker psql mysql redis-cli")},
	{"recon", setOf("ls pwd whoami id uname ps netstat ss cat find which env printenv hostname w who date uptime df du free lsof lsblk")},
}

// cleans reports whether the command is in the cleanup set.
func (c command) cleans() bool {
	return cleaning[c.head] || c.wipesHistory() || c.head == "unset" && c.namesHistory()
}

// guards reports whether the command is in the opsec set.
func (c command) guards() bool {
	return disciplined[c.head] || c.wipesHistory() || (c.head == "unset" || c.head == "export") && c.namesHistory()
}

// wipesHistory reports whether the command is a history with an argument that
// begins as -[A-Za-z]*[cdw] says.
func (c command) wipesHistory() bool {
	if c.head != "history" {
		return false
	}
	for _, arg := range c.args {
		if len(arg) == 0 || arg[0] != '-' {
			continue
		}
		for i := 1; i < len(arg) && isLetter(arg[i]); i++ {
			if arg[i] == 'c' || arg[i] == 'd' || arg[i] == 'w' {
				return true
			}
		}
	}
	return false
}

func (c command) namesHistory() bool {
	for _, arg := range c.args {
		if strings.HasPrefix(arg, "HIST") {
			return true
		}
	}
	return false
}
