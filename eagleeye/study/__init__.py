"""Does a score tell the accuracy after fine-tuning, and what does fine-tuning change?"""
