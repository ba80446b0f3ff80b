package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Roles of the staff: those who look, and those who decide, too.
const (
	roleLook   = "look"
	roleDecide = "decide"
)

// staff is somebody who may sign in.
type staff struct {
	Name, Role string
	Version    int64 // of the password: a session is of one version
	MustChange bool  // the password was made by the program
	Disabled   bool
}

var (
	errSignIn    = errors.New("名称或密码不正确")
	errTooSoon   = errors.New("失败次数过多，请稍后再试")
	errPassword  = errors.New("密码至少12个字符，最多72字节")
	errStaffName = errors.New("名称为1至32个字符，且未被使用")
)

// hashing bounds what can be spent on passwords at the same time.
var hashing = make(chan struct{}, 2)

func (s *store) hash(password string) (string, error) {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	hashed, err := bcrypt.GenerateFromPassword([]byte(password), s.hashCost)
	return string(hashed), err
}

func matches(hashed, password string) bool {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return bcrypt.CompareHashAndPassword([]byte(hashed), []byte(password)) == nil
}

// nobody is compared with where there is no such name, so that it takes as long.
const nobody = "$2a$12$......................................................"

// firstStaff adds the first account where there is none, and returns its password.
func (s *store) firstStaff(ctx context.Context) (password string, err error) {
	var n int
	if err := s.queryRow(ctx, nil, "SELECT COUNT(*) FROM staff").Scan(&n); err != nil || n > 0 {
		return "", err
	}
	return s.newPassword(ctx, "admin", roleDecide, true)
}

// newPassword gives an account a password made by chance, to be changed when it signs in. Where there is no such account it is added.
// onlyNew: an account that is there stays as it is, and no password is returned.
func (s *store) newPassword(ctx context.Context, name, role string, onlyNew bool) (password string, err error) {
	if len([]rune(name)) < 1 || len([]rune(name)) > 32 {
		return "", errStaffName
	}
	password = rand.Text()[:16]
	hashed, err := s.hash(password)
	if err != nil {
		return "", err
	}
	statement := "INSERT INTO staff (name, hash, role) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO "
	if onlyNew {
		statement += "NOTHING"
	} else {
		statement += "UPDATE SET hash = ?2, role = ?3, version = staff.version + 1, must_change = 1, disabled = 0, failed = 0, next_try = 0"
	}
	added, err := s.changed(ctx, nil, statement, name, hashed, role)
	if err != nil || !added {
		return "", err
	}
	return password, nil
}

// setPassword is what somebody chose.
func (s *store) setPassword(ctx context.Context, name, password string) error {
	if len([]rune(password)) < 12 || len(password) > 72 {
		return errPassword
	}
	hashed, err := s.hash(password)
	if err != nil {
		return err
	}
	_, err = s.changed(ctx, nil, "UPDATE staff SET hash = ?2, must_change = 0, version = version + 1 WHERE name = ?1", name, hashed)
	return err
}

// staffNamed reads an account.
func (s *store) staffNamed(ctx context.Context, name string) (who staff, err error) {
	who.Name = name
	err = s.queryRow(ctx, nil, "SELECT role, version, must_change = 1, disabled = 1 FROM staff WHERE name = ?1", name).Scan(&who.Role, &who.Version, &who.MustChange, &who.Disabled)
	return who, err
}

// allStaff lists the accounts.
func (s *store) allStaff(ctx context.Context) ([]staff, error) {
	return list(ctx, s, func(row *sql.Rows) (who staff, err error) {
		err = row.Scan(&who.Name, &who.Role, &who.Version, &who.MustChange, &who.Disabled)
		return who, err
	}, "SELECT name, role, version, must_change = 1, disabled = 1 FROM staff ORDER BY name")
}

// Tries that fail are slowed down: after freeTries the next is possible only after a while, which doubles up to longestWait. The wait
// is taken before the password is looked at, so that many tries at the same time are no more than one.
const (
	freeTries   = 4
	longestWait = 5 * time.Minute
)

// signIn returns the account, if the password is its own.
func (s *store) signIn(ctx context.Context, name, password string) (staff, error) {
	var hashed string
	var failed int64
	err := s.queryRow(ctx, nil, fmt.Sprintf(`UPDATE staff SET failed = failed + 1,
		next_try = CASE WHEN failed < %d THEN 0 WHEN failed > 16 THEN NOW + %d ELSE NOW + %d * (1 << CAST(failed - %[1]d AS INTEGER)) END
		WHERE name = ?1 AND next_try <= NOW RETURNING hash, failed`, freeTries, longestWait.Milliseconds(), time.Second.Milliseconds()), name).Scan(&hashed, &failed)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := s.staffNamed(ctx, name); err == nil {
			return staff{}, errTooSoon
		}
		matches(nobody, password)
		return staff{}, errSignIn
	}
	if err != nil {
		return staff{}, err
	}
	right := matches(hashed, password)
	who, err := s.staffNamed(ctx, name)
	if err != nil {
		return staff{}, err
	}
	if !right || who.Disabled {
		return staff{}, errSignIn
	}
	_, err = s.changed(ctx, nil, "UPDATE staff SET failed = 0, next_try = 0 WHERE name = ?1", name)
	return who, err
}

// sessions is the store of the sessions, shared by all machines. Only digests of their tokens are in it.
type sessions struct{ *store }

// FindCtx implements scs.CtxStore.
func (s sessions) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	var text string
	err = s.queryRow(ctx, nil, "SELECT data FROM sessions WHERE token = ?1 AND expires > NOW", token).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		data, err = base64.StdEncoding.DecodeString(text)
	}
	return data, err == nil, err
}

// CommitCtx implements scs.CtxStore.
func (s sessions) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	_, err := s.changed(ctx, nil, "INSERT INTO sessions (token, data, expires) VALUES (?1, ?2, ?3) ON CONFLICT (token) DO UPDATE SET data = ?2, expires = ?3",
		token, base64.StdEncoding.EncodeToString(data), expires.UnixMilli())
	return err
}

// DeleteCtx implements scs.CtxStore.
func (s sessions) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.changed(ctx, nil, "DELETE FROM sessions WHERE token = ?1", token)
	return err
}

// Find implements scs.Store.
func (s sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s sessions) Commit(token string, data []byte, expires time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expires)
}

// Delete implements scs.Store.
func (s sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
