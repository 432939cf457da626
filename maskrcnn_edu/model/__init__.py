"""The document, module by module. Imports the records and nothing else of the package."""
