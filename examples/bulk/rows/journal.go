package rows

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
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
	Refused Status = "refused" // the service said no; the last column has why
	Later   Status = "later"   // nothing was sent, or nothing came of it; the next run tries again
)

// Journal is the file of results: a line for each change of a row's status, the last one counts. Lines are
// written before a request is sent and after its answer, so that a program that is killed finds out what it
// was doing. A row is known by its content, so that the rows of a mended input that were done are not sent again.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	keys   []key          // of the rows of the input
	status map[key]Status // by content
	begun  map[string]int // how many rows of a member are begun
	err    error          // of a line that could not be written; it may be torn, so no other may follow it
}

// key tells a row by digests: of its member and of all of it.
type key struct{ member, content string }

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:12])
}

// OpenJournal opens or creates the results of a task, such as an import into a template, for the rows of an input. It
// refuses those of another task, and those that another program is writing.
func OpenJournal(path, task string, input []byte) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	j := &Journal{file: file, status: map[key]Status{}, begun: map[string]int{}}
	members, _ := Parse(input) // rows that cannot be read are known by their number
	for _, m := range members {
		j.keys = append(j.keys, key{digest(m.member()), digest(m.member() + "\n" + m.Level + "\n" + m.PhoneNumber)})
	}
	err = lock(file)
	if err == nil {
		err = j.read(task)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return j, nil
}

// key returns the key of a row, counted from 1.
func (j *Journal) key(row int) key {
	if row <= len(j.keys) {
		return j.keys[row-1]
	}
	return key{digest(strconv.Itoa(row)), digest(strconv.Itoa(row))}
}

// note keeps the status of a row.
func (j *Journal) note(k key, status Status) {
	if j.status[k] == Begun {
		j.begun[k.member]--
	}
	if status == Begun {
		j.begun[k.member]++
	}
	j.status[k] = status
}

func (j *Journal) read(head string) error {
	data, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(data, []byte(head+"\n")) && !strings.HasPrefix(head, string(data)) {
		return errors.New("these are the results of another task; give another -results")
	}
	complete := data[:bytes.LastIndexByte(data, '\n')+1] // the last line of a program that was killed may be torn
	if err := j.file.Truncate(int64(len(complete))); err != nil {
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
		if err != nil || row < 1 || len(record) != 5 || !slices.Contains([]Status{Begun, Done, Refused, Later}, Status(record[1])) {
			return fmt.Errorf("line %d is not a result", line)
		}
		j.note(key{record[2], record[3]}, Status(record[1]))
	}
}

// Status returns what is known of a row, counted from 1. One that was changed while a request for its member was begun
// is begun.
func (j *Journal) Status(row int) Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.key(row)
	if status := j.status[k]; status != "" || j.begun[k.member] == 0 {
		return status
	}
	return Begun
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
	k := j.key(row)
	_ = w.Write([]string{strconv.Itoa(row), string(status), k.member, k.content, strings.ReplaceAll(why, "\n", " ")}) // a result is one line
	w.Flush()
	if _, j.err = j.file.Write(line.Bytes()); j.err != nil { // one write, so that lines do not mix
		return j.err
	}
	j.note(k, status)
	return nil
}

// Close makes the results durable.
func (j *Journal) Close() error { return errors.Join(j.file.Sync(), j.file.Close()) }
