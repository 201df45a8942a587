// Package lab holds a log of a real Cowrie with known hands behind it, for
// demonstrations and tests.
//
// Five scripted hands (a scripter, a typist, an agent, a paster and a drifter)
// used five client tools from 15 loopback addresses in 81 sessions. Two
// addresses are special: 127.0.9.9 is one address with three hands, and
// 127.0.6.1 changes its tool halfway; every other address is one hand. No
// session of it is from the Internet.
package lab
