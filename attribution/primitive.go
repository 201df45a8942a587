package attribution

// ValidPrimitive reports whether name is two or more tokens of a-z, 0-9 and _
// joined by dots.
func ValidPrimitive(name []byte) bool {
	dots, token := 0, 0
	for _, c := range name {
		switch {
		case c == '.':
			if token == 0 {
				return false
			}
			dots, token = dots+1, 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			token++
		default:
			return false
		}
	}
	return dots > 0 && token > 0
}
