module github.com/wechatpay-cards/membercard

go 1.26.0

require github.com/wechatpay-apiv3/wechatpay-go v0.2.21

require (
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
