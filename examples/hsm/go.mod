module github.com/wechatpay-cards/membercard/examples/hsm

go 1.26.0

replace github.com/wechatpay-cards/membercard => ../..

require (
	github.com/ThalesGroup/crypto11 v1.5.0
	github.com/golang-fips/openssl/v2 v2.0.3
	github.com/stretchr/testify v1.12.1
	github.com/wechatpay-cards/membercard v0.0.0
)

require (
	github.com/miekg/pkcs11 v1.1.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/thales-e-security/pool v0.0.2 // indirect
	github.com/wechatpay-apiv3/wechatpay-go v0.2.21 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
