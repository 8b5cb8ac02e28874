"""The custom resources: their fields, their rules, and the CustomResourceDefinitions made from both."""
