package membercard

import "context"

// SecurityEchoRequest is what the service is to answer again. EchoMessage is required.
type SecurityEchoRequest struct {
	EchoMessage          string    `json:"echo_message" in:"body"`
	EncryptedEchoMessage Sensitive `json:"encrypted_echo_message,omitzero" in:"body"` // sent encrypted
	NotifyURL            string    `json:"notify_url,omitempty" in:"body"`            // where a notification of it goes; empty: none is sent
}

// SecurityEchoResponse is the echo.
type SecurityEchoResponse struct {
	EchoMessage          string    `json:"echo_message"`
	EncryptedEchoMessage Sensitive `json:"encrypted_echo_message,omitzero"` // encrypted for the merchant; only if it was sent
}

// SecurityEcho has the service answer what it is sent (安全回显), encrypted and in clear, and notify of it. It touches no
// card: it proves that signing, verifying, encryption, decryption and notifications work against the real service. The
// notification is a [SecurityEchoed], which is repeated at most ten times within some three hours.
//
// Rate limit: none documented (2026.04.08). It changes nothing: retried automatically. Document 4015139289.
func (c *Client) SecurityEcho(ctx context.Context, request SecurityEchoRequest) (*SecurityEchoResponse, error) {
	return securityEcho.call(ctx, c, request)
}

// SecurityEchoed says that [Client.SecurityEcho] was called with a NotifyURL (安全回显通知). Document 4019605946.
type SecurityEchoed struct {
	EchoMessage        string    `json:"echo_message"`
	EncryptEchoMessage Sensitive `json:"encrypt_echo_message,omitzero"` // encrypted for the merchant, also here; only if it was sent
}

func (*SecurityEchoed) event() {}
