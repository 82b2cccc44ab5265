-- Whose envelope sender a customer's mail leaves with, and whether automatic answers are kept from him. Written by the room account only.

-- return_path: '' (as the gateway does), 'kept', 'ours', or a domain of the customer.
ALTER TABLE account_customer ADD COLUMN return_path TEXT NOT NULL DEFAULT '';
ALTER TABLE account_customer ADD COLUMN drop_auto_replies BIGINT NOT NULL DEFAULT 0;
