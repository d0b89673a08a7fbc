"""Which language a text is in, and keeping an answer in one."""
