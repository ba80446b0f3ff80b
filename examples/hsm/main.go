// Hsm has the merchant API private key in a PKCS #11 token, a hardware security module (HSM): it signs there, and sensitive
// values are decrypted there. No file has anything of the key.
//
//	cd examples/hsm
//	go run .                                    # a token of SoftHSM, made for the run
//	PIN=… go run . -keys FOLDER -module /usr/lib/your/pkcs11.so -token merchant -key apiclient -brand 1004
//
// The first needs softhsm2 (Debian package of that name): a key is made in a new token, and the fake WeChat Pay is the
// service. With -keys the folder has what LoadConfig reads, but for apiclient_key.pem, and the token has the key. Building
// needs cgo. Package openssl is the same interface over OpenSSL, for the sake of its speed.
package main

import (
	"context"
	"crypto"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ThalesGroup/crypto11"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hsm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hsm", flag.ContinueOnError)
	keys := flags.String("keys", "", "`folder` with the files of the merchant platform, without the private key; none: the fake WeChat Pay")
	module := flags.String("module", "/usr/lib/softhsm/libsofthsm2.so", "`file` of the PKCS #11 module")
	token := flags.String("token", "merchant", "`label` of the token")
	label := flags.String("key", "apiclient", "`label` of the key")
	brandEdition := flags.Bool("brand-edition", false, "as a brand that calls for itself, with the fake")
	brand := flags.String("brand", "1004", "`id` of the brand whose templates are listed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pin := os.Getenv("PIN")
	if *keys == "" {
		dir, err := os.MkdirTemp("", "hsm")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if pin, err = newToken(ctx, dir, *token); err != nil {
			return err
		}
	}
	hsm, err := crypto11.Configure(&crypto11.Config{Path: *module, TokenLabel: *token, Pin: pin})
	if err != nil {
		return fmt.Errorf("the token %s: %w", *token, err)
	}
	defer func() { _ = hsm.Close() }()
	if *keys == "" {
		if _, err := hsm.GenerateRSAKeyPairWithLabel([]byte{1}, []byte(*label), 2048); err != nil {
			return err
		}
	}
	key, err := keyIn(hsm, *label)
	if err != nil {
		return err
	}

	var config membercard.Config
	if *keys == "" {
		options := []membercardtest.Option{membercardtest.WithMerchantKey(key)}
		if *brandEdition {
			options = append(options, membercardtest.WithBrandEdition())
		}
		server := membercardtest.NewServer(options...)
		defer server.Close()
		server.AddUserCard(membercard.UserCard{
			BrandID: *brand, OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA", UserCardCode: "478515832665", PhoneNumber: membercard.NewSensitive("13800000000"),
		})
		config = server.Config()
	} else if config, err = membercard.LoadConfig(os.DirFS(*keys)); err != nil {
		return err
	}
	config.PrivateKey = key // whose Decrypt decrypts sensitive values
	client, err := membercard.New(config)
	if err != nil {
		return err
	}
	for _, finding := range client.Check(ctx) {
		fmt.Fprintln(out, finding)
	}
	page, err := client.ListCards(ctx, membercard.ListCardsRequest{BrandID: *brand})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "templates:", page.TotalCount)
	if *keys != "" {
		return nil
	}
	for card, err := range client.AllUserCards(ctx, membercard.ListUserCardsRequest{BrandID: *brand, OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA"}) {
		if err != nil {
			return err
		}
		phone, err := client.Decrypt(card.PhoneNumber)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "card %s, a phone number of %d digits was decrypted in the token\n", card.UserCardCode, len(phone))
	}
	return nil
}

// keyIn finds a key pair. It signs with RSA PKCS #1 v1.5 and decrypts OAEP with SHA-1, where the token can.
func keyIn(hsm *crypto11.Context, label string) (crypto.Signer, error) {
	key, err := hsm.FindKeyPair(nil, []byte(label))
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		return nil, fmt.Errorf("the token has no key pair with the label %s", label)
	}
	return key, nil
}

// newToken makes a token of SoftHSM in a folder.
func newToken(ctx context.Context, dir, label string) (pin string, err error) {
	tokens := filepath.Join(dir, "tokens")
	settings := filepath.Join(dir, "softhsm2.conf")
	if err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(settings, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600)); err != nil {
		return "", err
	}
	if err := os.Setenv("SOFTHSM2_CONF", settings); err != nil { // the module of this process reads it, too
		return "", err
	}
	pin = strings.ToLower(filepath.Base(dir))
	output, err := exec.CommandContext(ctx, "softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", pin, "--pin", pin).CombinedOutput() //nolint:gosec // the label is the user's own
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("softhsm2-util is not installed: apt install softhsm2")
	}
	if err != nil {
		return "", fmt.Errorf("softhsm2-util: %w: %s", err, output)
	}
	return pin, nil
}
