package rows

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Status is what is known of a row.
type Status string

// The states of a row. A row without one was not touched.
const (
	Begun   Status = "begun"   // the request may have been sent; look before sending it again
	Done    Status = "done"    // carried out
	Refused Status = "refused" // the service said no; the third column has why
	Later   Status = "later"   // nothing was sent, or nothing came of it; the next run tries again
)

// Journal is the file of results: a line for each change of a row's status, the last one counts. Lines are
// written before a request is sent and after its answer, so that a program that is killed finds out what it
// was doing.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	status map[int]Status
	err    error // of a line that could not be written; it may be torn, so no other may follow it
}

// OpenJournal opens or creates the results of a task, such as an import into a template, on an input. It
// refuses those of another.
func OpenJournal(path, task string, input []byte) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	j := &Journal{file: file, status: map[int]Status{}}
	if err := j.read(fmt.Sprintf("%s of %x", task, sha256.Sum256(input))); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return j, nil
}

func (j *Journal) read(head string) error {
	data, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(data, []byte(head+"\n")) && !strings.HasPrefix(head, string(data)) {
		return errors.New("these are the results of another task or another input; give another -results")
	}
	complete := data[:bytes.LastIndexByte(data, '\n')+1] // the last line of a program that was killed may be torn
	if err := j.file.Truncate(int64(len(complete))); err != nil {
		return err
	}
	if _, err := j.file.Seek(int64(len(complete)), io.SeekStart); err != nil {
		return err
	}
	if len(complete) == 0 {
		_, err := fmt.Fprintln(j.file, head)
		return err
	}
	reader := csv.NewReader(bytes.NewReader(complete[len(head)+1:]))
	reader.FieldsPerRecord = -1
	for line := 2; ; line++ {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		row, err := strconv.Atoi(record[0])
		if err != nil || len(record) != 3 || !slices.Contains([]Status{Begun, Done, Refused, Later}, Status(record[1])) {
			return fmt.Errorf("line %d is not a result", line)
		}
		j.status[row] = Status(record[1])
	}
}

// Status returns what is known of a row, counted from 1.
func (j *Journal) Status(row int) Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status[row]
}

// Set writes what is now known of a row.
func (j *Journal) Set(row int, status Status, why string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	var line bytes.Buffer
	w := csv.NewWriter(&line)
	_ = w.Write([]string{strconv.Itoa(row), string(status), strings.ReplaceAll(why, "\n", " ")}) // a result is one line
	w.Flush()
	if _, j.err = j.file.Write(line.Bytes()); j.err != nil { // one write, so that lines do not mix
		return j.err
	}
	j.status[row] = status
	return nil
}

// Close makes the results durable.
func (j *Journal) Close() error { return errors.Join(j.file.Sync(), j.file.Close()) }
