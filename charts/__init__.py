"""The Helm chart, and the programs that write what is generated in it."""
