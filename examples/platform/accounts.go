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

// hashing bounds what can be spent on passwords at the same time, and how long somebody waits for it.
var hashing = make(chan struct{}, 2)

var errBusySignIn = errors.New("暂时繁忙，请稍后再试")

func whileHashing(ctx context.Context, do func()) error {
	select {
	case hashing <- struct{}{}:
	case <-time.After(5 * time.Second):
		return errBusySignIn
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-hashing }()
	do()
	return nil
}

func (s *store) hash(ctx context.Context, password string) (hashed string, err error) {
	busy := whileHashing(ctx, func() {
		var hash []byte
		hash, err = bcrypt.GenerateFromPassword([]byte(password), s.hashCost)
		hashed = string(hash)
	})
	return hashed, errors.Join(busy, err)
}

// firstStaff adds the first account where there is none, and returns its password.
func (s *store) firstStaff(ctx context.Context) (password string, err error) {
	var n int
	if err := s.queryRow(ctx, nil, "SELECT COUNT(*) FROM staff").Scan(&n); err != nil || n > 0 {
		return "", err
	}
	return s.addStaff(ctx, "admin", roleDecide)
}

// addStaff adds an account with a password made by chance, which is to be changed when it signs in. Without a password there is one of
// this name already.
func (s *store) addStaff(ctx context.Context, name, role string) (password string, err error) {
	if len([]rune(name)) < 1 || len([]rune(name)) > 32 {
		return "", errStaffName
	}
	password = rand.Text()[:16]
	hashed, err := s.hash(ctx, password)
	if err != nil {
		return "", err
	}
	added, err := s.exec(ctx, nil, "INSERT INTO staff (name, hash, role) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING", name, hashed, role)
	if err != nil || !added {
		return "", err
	}
	return password, nil
}

// newPassword gives an account that is there a password made by chance.
func (s *store) newPassword(ctx context.Context, name string) (password string, err error) {
	password = rand.Text()[:16]
	hashed, err := s.hash(ctx, password)
	if err != nil {
		return "", err
	}
	there, err := s.exec(ctx, nil, "UPDATE staff SET hash = ?2, version = version + 1, must_change = 1, failed = 0, next_try = 0 WHERE name = ?1", name, hashed)
	if err == nil && !there {
		err = errors.New("there is no account of this name")
	}
	return password, err
}

// setPassword is what somebody chose.
func (s *store) setPassword(ctx context.Context, name, password string) error {
	if len([]rune(password)) < 12 || len(password) > 72 {
		return errPassword
	}
	hashed, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, nil, "UPDATE staff SET hash = ?2, must_change = 0, version = version + 1 WHERE name = ?1", name, hashed)
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
		next_try = CASE WHEN failed < %d THEN 0 WHEN failed > 12 THEN NOW + %d ELSE NOW + %d * (1 << CAST(failed - %[1]d AS INTEGER)) END
		WHERE name = ?1 AND next_try <= NOW RETURNING hash, failed`, freeTries, longestWait.Milliseconds(), time.Second.Milliseconds()), name).Scan(&hashed, &failed)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := s.staffNamed(ctx, name); err == nil {
			return staff{}, errTooSoon
		}
		return staff{}, errSignIn // at once: names are no secret, and a stranger's try costs nothing
	}
	if err != nil {
		return staff{}, err
	}
	right := false
	if err := whileHashing(ctx, func() { right = bcrypt.CompareHashAndPassword([]byte(hashed), []byte(password)) == nil }); err != nil {
		return staff{}, err
	}
	who, err := s.staffNamed(ctx, name)
	if err != nil {
		return staff{}, err
	}
	if !right || who.Disabled {
		return staff{}, errSignIn
	}
	_, err = s.exec(ctx, nil, "UPDATE staff SET failed = 0, next_try = 0 WHERE name = ?1", name)
	return who, err
}

// sessions is the store of the sessions, shared by all machines. Only digests of their tokens are in it.
type sessions struct{ *store }

// FindCtx implements scs.CtxStore.
func (s sessions) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	var text string
	err = s.queryRow(ctx, nil, "SELECT data FROM sessions WHERE token = ?1 AND expires > NOW AND data <> ''", token).Scan(&text)
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
	_, err := s.exec(ctx, nil, "INSERT INTO sessions (token, data, expires) VALUES (?1, ?2, ?3) ON CONFLICT (token) DO UPDATE SET data = ?2, expires = ?3 WHERE sessions.data <> ''",
		token, base64.StdEncoding.EncodeToString(data), expires.UnixMilli())
	return err
}

// DeleteCtx implements scs.CtxStore. The token stays until it expires, so that a request under way does not bring the session back.
func (s sessions) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.exec(ctx, nil, "UPDATE sessions SET data = '' WHERE token = ?1", token)
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
