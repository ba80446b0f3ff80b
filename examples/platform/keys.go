package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the scheme of WeChat Pay's ciphertexts, which the client decrypts
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// keys are the client, made from the files of a folder and made again when they change, without a restart.
type keys struct {
	files     fs.FS
	configure func(*membercard.Config) // address, throttle, metrics
	seen      [sha256.Size]byte        // a digest of the files as they were when they were last read
	current   atomic.Pointer[keySet]
}

// keySet is what came from the files at one time.
type keySet struct {
	now, before *membercard.Client // before is that of the folder "previous", or nil
	own         *rsa.PublicKey
	token       string // of the merchant's programs
}

// openKeys reads the files: those of membercard.LoadConfig, api_token.txt, and in a folder "previous" those before, with which what came
// before is opened.
func openKeys(files fs.FS, configure func(*membercard.Config)) (*keys, error) {
	k := &keys{files: files, configure: configure}
	return k, k.load()
}

// load reads the files. One goroutine does so at a time.
func (k *keys) load() error {
	k.seen = k.digest() // before reading: what changes meanwhile is read again
	config, err := membercard.LoadConfig(k.files)
	if err != nil {
		return err
	}
	if config.APIv3Key == "" {
		return errors.New("the APIv3 key is missing, with which notifications are decrypted: apiv3_key.txt")
	}
	k.configure(&config)
	set := &keySet{}
	if own, ok := config.PrivateKey.(*rsa.PrivateKey); ok {
		set.own = &own.PublicKey
	}
	if previous, err := fs.Sub(k.files, "previous"); err == nil && exists(previous) {
		before, err := membercard.LoadConfig(previous)
		if err != nil {
			return fmt.Errorf("previous: %w", err)
		}
		if key, ok := before.PrivateKey.(crypto.Decrypter); ok {
			config.PreviousKeys = append(config.PreviousKeys, key)
		}
		k.configure(&before)
		if set.before, err = membercard.New(before); err != nil {
			return fmt.Errorf("previous: %w", err)
		}
	}
	if set.now, err = membercard.New(config); err != nil {
		return err
	}
	switch token, err := fs.ReadFile(k.files, "api_token.txt"); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(bytes.TrimSpace(token)) < 20:
		return errors.New("api_token.txt: a token has 20 characters or more, and is made by chance")
	default:
		set.token = string(bytes.TrimSpace(token))
	}
	k.current.Store(set)
	return nil
}

func exists(folder fs.FS) bool {
	_, err := fs.Stat(folder, ".")
	return err == nil
}

// watch loads the files again when they change. What cannot be used is logged, and the keys stay as they are.
func (k *keys) watch(ctx context.Context, every time.Duration, logger *slog.Logger) {
	for {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
		if k.digest() == k.seen {
			continue
		}
		if err := k.load(); err != nil {
			logger.ErrorContext(ctx, "the changed keys cannot be used; those before are kept", "error", err)
			continue
		}
		logger.WarnContext(ctx, "the changed keys are in use")
	}
}

func (k *keys) digest() (sum [sha256.Size]byte) {
	hash := sha256.New()
	_ = fs.WalkDir(k.files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			data, _ := fs.ReadFile(k.files, path)
			fmt.Fprintf(hash, "%s %d ", path, len(data))
			_, _ = hash.Write(data)
		}
		return nil
	})
	return [sha256.Size]byte(hash.Sum(nil))
}

func (k *keys) client() *membercard.Client { return k.current.Load().now }

// openNotification opens a stored notification, with the keys before where those of now do not.
func (k *keys) openNotification(body []byte) (*membercard.Notification, error) {
	set := k.current.Load()
	n, err := set.now.OpenNotification(body)
	if err != nil && set.before != nil {
		if old, oldErr := set.before.OpenNotification(body); oldErr == nil {
			return old, nil
		}
	}
	return n, err
}

// clientFor returns the client for a notification: that of the keys before where those of now do not open it.
func (k *keys) clientFor(r *http.Request) *membercard.Client {
	set := k.current.Load()
	if set.before == nil {
		return set.now
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20+1))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	if err != nil {
		return set.now
	}
	try := func(client *membercard.Client) bool {
		copied := r.Clone(r.Context())
		copied.Body = io.NopCloser(bytes.NewReader(body))
		_, err := client.ParseNotification(copied)
		return err == nil
	}
	if !try(set.now) && try(set.before) {
		return set.before
	}
	return set.now
}

// encryptPhone encrypts a phone number for the books, so that the client can decrypt it when it is sent.
func (k *keys) encryptPhone(phone string) (string, error) {
	own := k.current.Load().own
	if phone == "" {
		return "", nil
	}
	if own == nil {
		return "", errors.New("phone numbers need a private key in a file")
	}
	encrypted, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, own, []byte(phone), nil) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(encrypted), err
}
