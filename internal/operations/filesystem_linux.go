package operations

import "syscall"

// Filesystem names the kind of filesystem that path is on, where it matters,
// and says what to do if it is one that state should not be on.
func Filesystem(path string) (kind, fix string) {
	var s syscall.Statfs_t
	if syscall.Statfs(path, &s) != nil {
		return "", ""
	}
	switch int64(s.Type) {
	case 0x01021994:
		return "tmpfs", "give it a disk: what is in memory is lost with the machine, and the store is then rebuilt from the changelog"
	case 0x794c7630:
		return "overlay", "give it a volume: a container's own layer is lost with the container, and the store is then rebuilt from the changelog"
	case 0x6969, 0x517b, 0xfe534d42:
		return "a network share", "give it a local disk: locks and latency of a share are not what a store needs"
	case 0xef53:
		return "ext", ""
	case 0x58465342:
		return "xfs", ""
	case 0x9123683e:
		return "btrfs", ""
	}
	return "", ""
}
