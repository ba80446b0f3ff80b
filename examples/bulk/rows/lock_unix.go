//go:build unix

package rows

import (
	"errors"
	"os"
	"syscall"
)

// lock keeps other programs from a file as long as it is open.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another run is writing these results; wait until it has ended")
	}
	return err
}
