// Package instance runs handprint as tests need it: the real binary, built
// once, as child processes that are stopped, killed, paused, or told to die at a
// step. What they are fed, and whether what they made of it is right, is not
// here.
package instance
