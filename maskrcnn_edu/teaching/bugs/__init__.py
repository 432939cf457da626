"""The bug zoo: real mistakes, let loose on purpose."""
